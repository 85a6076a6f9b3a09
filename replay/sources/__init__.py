"""
Sources: history from venues, page by page, checked before anyone uses it.

    sources            every venue behind one small interface        download   into the store, resumable
    paging rules       paging backwards; what rows must be           errors     what can go wrong on the way
    delta_rest delta_http delta_parse delta_products delta_profiles  Delta Exchange
    ccxt_history ccxt_markets ccxt_errors                            every other venue
"""
