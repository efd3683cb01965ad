"""Snowflake SQL API v2."""
