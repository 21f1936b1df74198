"""python -m healthsync"""

from healthsync.entrypoints.cli import main

if __name__ == "__main__":
    main()
