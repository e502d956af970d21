"""lit's shell tests, each with a stats file of its own: which test made which links.

Knows nothing of what stands in the files. A module, since lit hands its tests to other processes.
"""

import os

import lit.formats


class Recorded(lit.formats.ShTest):
    def __init__(self, plain, folder):
        super().__init__(plain.execute_external)
        self.folder = folder

    def execute(self, test, lit_config):
        # A worker runs one test at a time.
        test.config.environment["THINLTO_LD_STATS"] = os.path.join(self.folder, "%".join(test.path_in_suite))
        return super().execute(test, lit_config)
