"""BigQuery REST API v2."""
