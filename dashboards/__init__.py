"""BI as code: `pnd dashboard` serves these pages from schema `mart`, with the read-only role."""
