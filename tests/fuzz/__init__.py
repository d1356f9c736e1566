"""What comes from outside, made up: `make fuzz` asks for more of it than `make test` does."""

import os

# Examples a test.
EXAMPLES = int(os.environ.get("HASHLEDGER_FUZZ_EXAMPLES", "60"))
