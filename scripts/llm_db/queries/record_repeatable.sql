INSERT INTO llm_db.repeatables (name, sha256, objects, adopted)
VALUES (%(name)s, %(sha256)s, %(objects)s, %(adopted)s)
ON CONFLICT (name) DO UPDATE SET
    sha256 = excluded.sha256, objects = excluded.objects, adopted = excluded.adopted, made_at = excluded.made_at
