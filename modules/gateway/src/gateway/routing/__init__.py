"""FROM … WHERE … INTO …: edgeHub's route language, result for result (design D4; facts in edgehub.md §2).

lexer → parser → typecheck → generate → table; `interpret` evaluates the same trees step by step for `explain`.

Invariants: a set of routes is compiled whole or not at all. No text of a route is ever pasted into code. A body is
parsed at most once per message, and only if a condition that needs it was reached. What a device sends can make a
condition undefined, never raise.

Entry points: `compile.compile_routes` gives a `table.Table` with `match` and `explain`, and `problems.RouteProblem`s
with line, column and the repair.
"""
