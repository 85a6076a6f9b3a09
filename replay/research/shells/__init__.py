"""
Trials that several shells share, on one machine or on many, by a folder that all of them reach.

    claims       which shell does which trial, and which shells have ended
    shared_file  the file of trials that each of them appends to, and what the others have appended
"""
