"""`python -m pnd_dagster`: the command line without its script."""

from pnd_dagster.cli import main

if __name__ == "__main__":
    main()
