-- The policy of Example 2: a node whose requests fail, or take too long, is replaced. All of
-- it is asked for in one transaction. Traffic goes elsewhere at once; pods leave as their
-- disruption budgets allow; the old node goes when the last of them has gone.
CREATE PROCEDURE policy.replace_node(node_name text) LANGUAGE plpgsql AS $$
DECLARE
    scaler   net.autoscalers;
    new_node text;
BEGIN
    SELECT scaler_of.* INTO scaler
    FROM net.autoscalers AS scaler_of JOIN net.nodes AS node USING (pool)
    WHERE node.name = node_name FOR UPDATE OF scaler_of;
    IF NOT FOUND THEN
        RETURN; -- it has been replaced already
    END IF;

    SELECT format('%s-%s', scaler.pool, 1 + max(substring(name FROM '\d+$')::integer))
    INTO new_node
    FROM net.nodes WHERE pool = scaler.pool;
    RAISE NOTICE 'pool %: % is replaced by %', scaler.pool, node_name, new_node;

    PERFORM dbnet.cordon('net.nodes', node_name);
    PERFORM dbnet.drain('net.nodes', node_name, timeout => '10 min', ignore_daemonsets => true);
    DELETE FROM net.nodes WHERE name = node_name;
    INSERT INTO net.nodes (name, labels) VALUES (new_node, scaler.node_labels);
    CALL policy.rebalance(scaler.pool);
END $$;
