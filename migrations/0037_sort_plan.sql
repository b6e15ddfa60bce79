-- What sorts deliveries is planned once a session, not for each call: it is called for every few events, and making a plan for
-- it takes far longer than going by it. The plan is kept though it may have been made while the tables were empty, so it must
-- never be one that reads a whole table. Nothing in it is worth being compiled.

alter function sort_deliveries(integer)
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set jit = off;
