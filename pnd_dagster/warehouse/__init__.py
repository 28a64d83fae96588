"""The warehouse: where the dbt project lies, what it needs to know of the platform, and how the marts are built."""
