"""
Searches shared by several shells, on one machine or many, through a common folder.

    claims       which shell runs which trial, and which shells have ended
    shared_file  the trial file: each shell appends its own part and reads those of the others
"""
