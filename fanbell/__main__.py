"""`python -m fanbell`: the command, for whoever has no `fanbell` on the path."""

from fanbell.infra.cli import main

if __name__ == "__main__":
    main()
