"""Runs the statements of a file (a line of JSON each: test, database, sql) on the engine of
chdb, in order, and says which it does not take. Databases are made as they come."""

import json
import re
import sys
import tempfile

from chdb import session


def whole(sql):
    """Gives an INSERT whose rows come behind it a row of defaults."""
    insert = re.fullmatch(r"(INSERT INTO \w+ \(([^)]*)\) VALUES)\s*", sql)
    if not insert:
        return sql
    columns = insert.group(2).count(",") + 1
    return f"{insert.group(1)} ({', '.join(['DEFAULT'] * columns)})"


def main(path):
    with tempfile.TemporaryDirectory() as folder:
        engine = session.Session(folder)
        version = str(engine.query("SELECT version()", "TabSeparatedRaw")).strip()
        databases, ran, failed = set(), 0, []
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                said = json.loads(line)
                database = said["database"]
                try:
                    if database not in databases:
                        engine.query(f"CREATE DATABASE IF NOT EXISTS {database}")
                        databases.add(database)
                    engine.query(f"USE {database}")
                    engine.query(whole(said["sql"]))
                except Exception as error:  # the engine has one kind
                    failed.append((said, str(error).strip()))
                ran += 1
                if ran % 500 == 0:
                    print(f"statements: {ran} have run", file=sys.stderr)
        engine.close()
    for said, error in failed[:20]:
        print(f"\n{said['test']}: {said['sql'][:500]}\n  {error[:500]}")
    print(f"statements: {ran} in {len(databases)} databases on {version}, {len(failed)} failed")
    if ran == 0:
        print("statements: the tests wrote none down, which cannot be")
    return 1 if failed or ran == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
