-- needs: 0039.rates-and-budgets

CALL audit.watch('llm.gpu_rates');
