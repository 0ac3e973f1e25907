-- The policy of Example 1: when a load-balancer gets more traffic than its nodes may carry,
-- provision a node and spread the traffic over it, all in the transaction that brought the
-- news. Triggers keep the metrics.

-- What nodes and pods report, added up for each auto-scaler and load-balancer.
CREATE PROCEDURE policy.recalculate() LANGUAGE plpgsql AS $$
BEGIN
    -- Sessions take turns: who has waited here adds up what the other has committed, too.
    PERFORM FROM net.load_balancers ORDER BY name FOR UPDATE;

    UPDATE net.autoscalers AS scaler
    SET nodes = pool.nodes, cpu_percent = pool.cpu_percent
    FROM metrics.pools AS pool
    WHERE pool.pool = scaler.pool;

    UPDATE net.load_balancers AS balancer
    SET ingress_rps  = pool.ingress_rps,
        capacity_rps = pool.nodes * balancer.node_limit_rps,
        node_rps     = round(pool.ingress_rps / nullif(pool.nodes_ready, 0)),
        pod_rps      = round(pool.ingress_rps / nullif(pool.pods_running, 0))
    FROM metrics.pools AS pool
    WHERE pool.pool = balancer.pool;
END $$;

-- One node more, and traffic for it.
CREATE PROCEDURE policy.scale_out(pool_name text) LANGUAGE plpgsql AS $$
DECLARE
    scaler   net.autoscalers;
    new_node text;
BEGIN
    SELECT * INTO STRICT scaler FROM net.autoscalers WHERE pool = pool_name FOR UPDATE;
    IF scaler.nodes >= scaler.nodes_maximum THEN
        RAISE WARNING 'pool % has all of its % nodes and needs more', pool_name, scaler.nodes;
        RETURN;
    END IF;

    SELECT format('%s-%s', pool_name,
                  1 + coalesce(max(substring(name FROM '\d+$')::integer), 0))
    INTO new_node
    FROM net.nodes WHERE pool = pool_name;
    RAISE NOTICE 'pool %: % nodes are not enough, provisioning %',
        pool_name, scaler.nodes, new_node;

    INSERT INTO net.nodes (name, labels) VALUES (new_node, scaler.node_labels);
    UPDATE net.autoscalers SET replicas = replicas + 1 WHERE name = scaler.name;
    CALL policy.rebalance(pool_name);
END $$;

-- Equal shares, in whole percents that add up to 100. A node that is still starting has its
-- share already: no traffic reaches a node before it is ready.
CREATE PROCEDURE policy.rebalance(pool_name text) LANGUAGE sql AS $$
    WITH shares AS (
        SELECT name,
               100 / count(*) OVER ()
               + (row_number() OVER (ORDER BY name) <= 100 % count(*) OVER ())::integer AS share
        FROM net.nodes
        WHERE pool = pool_name)
    UPDATE net.load_balancers
    SET weights = (SELECT jsonb_object_agg(name, share) FROM shares)
    WHERE pool = pool_name;
$$;

-- The triggers. They have the rights of the policy's owner: who reports traffic need not be
-- allowed to make nodes.
CREATE FUNCTION policy.on_report() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    CALL policy.recalculate();
    RETURN NULL;
END $$;
CREATE TRIGGER recalculate
    AFTER INSERT OR DELETE OR UPDATE OF labels, ready, ingress_rps, cpu_percent ON net.nodes
    FOR EACH STATEMENT EXECUTE FUNCTION policy.on_report();
CREATE TRIGGER recalculate
    AFTER INSERT OR DELETE OR UPDATE OF node, phase ON net.pods
    FOR EACH STATEMENT EXECUTE FUNCTION policy.on_report();

CREATE FUNCTION policy.on_overload() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    CALL policy.scale_out(NEW.pool);
    RETURN NULL;
END $$;
CREATE TRIGGER overload
    AFTER UPDATE OF ingress_rps ON net.load_balancers
    FOR EACH ROW WHEN (NEW.ingress_rps > NEW.capacity_rps)
    EXECUTE FUNCTION policy.on_overload();

CREATE FUNCTION metrics.remember() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO metrics.history (load_balancer, ingress_rps, capacity_rps, node_rps, pod_rps)
    VALUES (NEW.name, NEW.ingress_rps, NEW.capacity_rps, NEW.node_rps, NEW.pod_rps);
    RETURN NULL;
END $$;
CREATE TRIGGER history
    AFTER UPDATE OF ingress_rps ON net.load_balancers
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION metrics.remember();
