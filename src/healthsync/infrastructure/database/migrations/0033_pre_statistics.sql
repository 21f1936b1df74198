-- Statistics that no plan asks for. No condition names these columns, and to sample them ANALYZE unpacked 30,000 contents
-- each time: most of what autovacuum cost while a store was young. It also copied what a column holds into pg_statistic.
ALTER TABLE resource ALTER digest SET STATISTICS 0, ALTER present SET STATISTICS 0;
ALTER TABLE resource_content ALTER packed SET STATISTICS 0, ALTER identity SET STATISTICS 0,
    ALTER narrative SET STATISTICS 0, ALTER clear SET STATISTICS 0;
ALTER TABLE resource_history ALTER packed SET STATISTICS 0, ALTER identity SET STATISTICS 0,
    ALTER narrative SET STATISTICS 0, ALTER clear SET STATISTICS 0;
ALTER TABLE audit_event ALTER entry SET STATISTICS 0, ALTER leaf_hash SET STATISTICS 0;
ALTER TABLE event_log ALTER data SET STATISTICS 0;

-- Logs grow at their end and look the same all along, and new statistics void every plan that writes to them: each
-- request does.
ALTER TABLE audit_event SET (autovacuum_analyze_scale_factor = 0.5);
ALTER TABLE audit_leaf SET (autovacuum_analyze_scale_factor = 0.5);
ALTER TABLE event_log SET (autovacuum_analyze_scale_factor = 0.5);
