"""
A running daemon.

    daemon                what commands, server and jobs may ask of it, and how it ends
    lock recovery         one daemon per state directory; from the directory back to the engine
    audit restep          the journal stepped again and compared
    upgrade               what another version, or edited user code, would decide otherwise
    drill                 a backup restored and compared
    jobs maintenance      work at times: snapshot, backup, compaction, the day's summary
    command_keys          keys of commands and what was answered to them
    strategy_faults       a strategy at fault, journalled and told
    tape_time             when the local exchange's tape happens
"""
