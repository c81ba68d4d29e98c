"""The command line: writes the pages. `python -m tools.map` does so too."""

from tools.reference.pages import write

if __name__ == "__main__":
    for path in write():
        print(path)
