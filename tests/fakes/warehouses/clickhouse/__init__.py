"""ClickHouse: its HTTP interface in front of its real engine."""
