-- 0.1.0's views are those of files that are gone. And what it may have made of ours is made anew.
UPDATE llm_db.repeatables SET sha256 = '';
INSERT INTO llm_db.repeatables (name, sha256, objects)
SELECT 'of release 0.1.0', '', array_agg('view ' || view_name) FROM llm_db.views
ON CONFLICT (name) DO UPDATE SET objects = excluded.objects;
DELETE FROM llm_db.views;
