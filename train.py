"""Launch with `python train.py fit`; see the README and `python train.py --help`."""

from lit_attr.cli import main

if __name__ == "__main__":
    main()
