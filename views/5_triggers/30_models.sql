CALL audit.watch('llm.models');
