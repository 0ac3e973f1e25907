-- The policies of Example 2: which node is ill, by the spans of what runs on it.
CREATE PROCEDURE policy.on_ill_node(event dbnet.policy_event) LANGUAGE plpgsql AS $$
BEGIN
    CALL policy.replace_node(event.grouping ->> 'node');
END $$;

SELECT dbnet.create_policy('node errors', 'spans', group_by => '{node}', time_window => '30 s',
    aggregate => 'error_rate', threshold => 0.2, minimum_count => 50, max_actions => 2,
    action => 'policy.on_ill_node(dbnet.policy_event)', mode => 'act');

SELECT dbnet.create_policy('node latency', 'spans', group_by => '{node}', time_window => '30 s',
    aggregate => 'p95', threshold => 500, minimum_count => 50, max_actions => 2,
    action => 'policy.on_ill_node(dbnet.policy_event)', mode => 'act');
