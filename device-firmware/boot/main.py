# Runs after boot.py, but not in the raw REPL: tools reach a board whatever program it has.
import go

go.main()
