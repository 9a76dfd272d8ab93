"""The command line as a module: python -m fastgmm."""

from fastgmm.cli import main

if __name__ == "__main__":
    main()
