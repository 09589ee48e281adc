-- needs: 0039.rates-and-budgets

CALL audit.watch('llm.cost_settings');
