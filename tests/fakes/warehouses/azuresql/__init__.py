"""Azure SQL and its relatives: TDS 7.4."""
