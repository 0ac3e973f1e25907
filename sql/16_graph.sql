-- What led to an event, or followed from it, as a graph for other tools.

-- Nodes: e... entity (version of a row), a... activity, g... agent (who made a transaction), t... entity (a trace, which is no event, by
-- its step). Edges by PROV's names.
CREATE FUNCTION dbnet.graph_edges(event bigint)
    RETURNS TABLE (edge text, from_id text, to_id text)
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'dbnet_question';
COMMENT ON FUNCTION dbnet.graph_edges(bigint) IS
    'Internal, for dbnet.graph(): edges of PROV between the steps of dbnet.why_steps(): wasGeneratedBy, wasInformedBy, wasStartedBy, used, wasAssociatedWith. Errors: 42704 there is no such event';

CREATE FUNCTION dbnet.answer_graph_edges(caller oid, event bigint)
    RETURNS TABLE (edge text, from_id text, to_id text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    WITH step AS MATERIALIZED (SELECT * FROM dbnet.answer_why_steps(caller, answer_graph_edges.event, 500)),
         activity AS MATERIALIZED (SELECT a.* FROM step AS s, dbnet.activity_by_id(s.event) AS a WHERE s.kind NOT IN ('row', 'device', 'who')),
         version AS MATERIALIZED (SELECT v.* FROM step AS s, dbnet.version_by_id(s.event) AS v WHERE s.kind = 'row'),
         call AS MATERIALIZED (SELECT c.id, c.cause FROM step AS s JOIN dbnet.actuation AS c ON c.id = s.event WHERE s.kind = 'device'),
         decision AS MATERIALIZED (SELECT s.step, s.event AS id FROM step AS s WHERE s.kind = 'policy'),
         named AS MATERIALIZED ( -- by dbnet.set_cause()
            SELECT a.id, t.cause FROM activity AS a, dbnet.activity_by_id(a.transaction) AS t WHERE a.parent IS NULL AND a.started_by IS NULL AND t.cause IS NOT NULL)
    SELECT DISTINCT * FROM (
        SELECT 'wasGeneratedBy', 'e' || v.id, 'a' || v.activity FROM version AS v WHERE v.activity IN (SELECT id FROM activity)
        UNION ALL SELECT 'wasInformedBy', 'a' || a.id, 'a' || a.parent FROM activity AS a WHERE a.parent IN (SELECT id FROM activity)
        UNION ALL SELECT 'wasStartedBy', 'a' || a.id, 'e' || a.started_by FROM activity AS a WHERE a.started_by IN (SELECT id FROM version)
        UNION ALL SELECT 'used', 'a' || c.id, 'e' || c.cause FROM call AS c WHERE c.cause IN (SELECT id FROM version)
        UNION ALL SELECT 'wasInformedBy', 'a' || v.activity, 'a' || v.cause FROM version AS v WHERE v.cause IN (SELECT id FROM call)
        UNION ALL SELECT 'used', 'a' || u.activity, 'e' || u.version FROM dbnet.used_version AS u WHERE u.activity IN (SELECT id FROM activity) AND u.version IN (SELECT id FROM version)
        UNION ALL SELECT 'used', 'a' || n.id, 'e' || n.cause FROM named AS n WHERE n.cause IN (SELECT id FROM version)
        UNION ALL SELECT 'wasInformedBy', 'a' || n.id, 'a' || n.cause FROM named AS n
            WHERE n.cause IN (SELECT id FROM activity UNION ALL SELECT id FROM call UNION ALL SELECT id FROM decision)
        UNION ALL SELECT 'used', 'a' || d.id, 'e' || dbnet.policy_version_event(d.id) FROM decision AS d WHERE dbnet.policy_version_event(d.id) IN (SELECT id FROM version)
        UNION ALL SELECT 'used', 'a' || (SELECT d.id FROM decision AS d WHERE d.step < s.step ORDER BY d.step DESC LIMIT 1), 't' || s.step FROM step AS s WHERE s.kind = 'trace'
        UNION ALL SELECT 'wasAssociatedWith', 'a' || a.id, 'g' || a.transaction FROM activity AS a
            WHERE a.parent IS NULL AND a.transaction IN (SELECT s.event FROM step AS s WHERE s.kind = 'who')) AS edges(edge, from_id, to_id)
    $$;
COMMENT ON FUNCTION dbnet.answer_graph_edges(oid, bigint) IS 'Internal: answers dbnet.graph_edges()';

CREATE FUNCTION dbnet.graph(event bigint, format text DEFAULT 'dot') RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    nodes jsonb := (SELECT jsonb_agg(DISTINCT jsonb_build_object('id', n.id, 'sort', n.sort, 'label', n.what, 'kind', n.kind, 'at', n.at)) FROM (
        SELECT CASE s.kind WHEN 'row' THEN 'e' || s.event WHEN 'who' THEN 'g' || s.event WHEN 'trace' THEN 't' || s.step ELSE 'a' || s.event END AS id,
               CASE s.kind WHEN 'row' THEN 'entity' WHEN 'who' THEN 'agent' WHEN 'trace' THEN 'entity' ELSE 'activity' END AS sort, s.what, s.kind, s.at
        FROM dbnet.why_steps(graph.event, 500) AS s) AS n);
BEGIN
    CASE graph.format
    WHEN 'dot' THEN
        RETURN concat(E'digraph why {\n  rankdir = BT;\n',
            (SELECT string_agg(format(E'  %s [label = "%s", shape = %s];\n', n ->> 'id', replace(replace(n ->> 'label', '\', '\\'), '"', '\"'),
                    CASE n ->> 'sort' WHEN 'entity' THEN 'ellipse' WHEN 'agent' THEN 'house' ELSE 'box' END), '' ORDER BY n ->> 'at', n ->> 'id') FROM jsonb_array_elements(nodes) AS n),
            (SELECT string_agg(format(E'  %s -> %s [label = "%s"];\n', e.from_id, e.to_id, e.edge), '' ORDER BY e.from_id, e.edge, e.to_id) FROM dbnet.graph_edges(graph.event) AS e), '}');
    WHEN 'mermaid' THEN
        RETURN concat(E'flowchart BT\n',
            (SELECT string_agg(format(E'  %s%s"%s"%s\n', n ->> 'id', CASE n ->> 'sort' WHEN 'entity' THEN '([' WHEN 'agent' THEN '[/' ELSE '[' END,
                    replace(replace(replace(replace(n ->> 'label', '&', '#amp;'), '"', '#quot;'), '<', '#lt;'), '>', '#gt;'),
                    CASE n ->> 'sort' WHEN 'entity' THEN '])' WHEN 'agent' THEN '\]' ELSE ']' END), '' ORDER BY n ->> 'at', n ->> 'id') FROM jsonb_array_elements(nodes) AS n),
            (SELECT string_agg(format(E'  %s -->|%s| %s\n', e.from_id, e.edge, e.to_id), '' ORDER BY e.from_id, e.edge, e.to_id) FROM dbnet.graph_edges(graph.event) AS e));
    WHEN 'prov-json' THEN
        RETURN jsonb_pretty(jsonb_build_object('prefix', jsonb_build_object('dbnet', 'urn:dbnet:event:'))
            || (SELECT jsonb_object_agg(sort, members) FROM (
                SELECT n ->> 'sort' AS sort, jsonb_object_agg('dbnet:' || (n ->> 'id'), jsonb_build_object('prov:label', n ->> 'label', 'prov:type', n ->> 'kind')
                    || CASE WHEN n ->> 'sort' = 'activity' THEN jsonb_build_object('prov:startTime', n ->> 'at') ELSE '{}' END) AS members
                FROM jsonb_array_elements(nodes) AS n GROUP BY 1) AS sorts)
            || coalesce((SELECT jsonb_object_agg(edge, members) FROM (
                SELECT e.edge, jsonb_object_agg(format('_:%s_%s_%s', e.edge, e.from_id, e.to_id), jsonb_build_object(
                    CASE e.edge WHEN 'wasGeneratedBy' THEN 'prov:entity' WHEN 'wasInformedBy' THEN 'prov:informed' ELSE 'prov:activity' END, 'dbnet:' || e.from_id,
                    CASE e.edge WHEN 'wasGeneratedBy' THEN 'prov:activity' WHEN 'wasInformedBy' THEN 'prov:informant' WHEN 'wasStartedBy' THEN 'prov:trigger'
                                WHEN 'used' THEN 'prov:entity' ELSE 'prov:agent' END, 'dbnet:' || e.to_id)) AS members
                FROM dbnet.graph_edges(graph.event) AS e GROUP BY 1) AS edges), '{}'));
    WHEN 'provn' THEN
        RETURN concat(E'document\n  prefix dbnet <urn:dbnet:event:>\n',
            (SELECT string_agg(CASE n ->> 'sort' WHEN 'activity' THEN format(E'  activity(dbnet:%s, %s, -, [prov:label="%s"])\n', n ->> 'id', replace(n ->> 'at', ' ', 'T'), replace(replace(n ->> 'label', '\', '\\'), '"', '\"'))
                    ELSE format(E'  %s(dbnet:%s, [prov:label="%s"])\n', n ->> 'sort', n ->> 'id', replace(replace(n ->> 'label', '\', '\\'), '"', '\"')) END, '' ORDER BY n ->> 'at', n ->> 'id')
             FROM jsonb_array_elements(nodes) AS n),
            (SELECT string_agg(CASE e.edge WHEN 'wasStartedBy' THEN format(E'  wasStartedBy(dbnet:%s, dbnet:%s, -, -)\n', e.from_id, e.to_id)
                    WHEN 'wasInformedBy' THEN format(E'  wasInformedBy(dbnet:%s, dbnet:%s)\n', e.from_id, e.to_id)
                    ELSE format(E'  %s(dbnet:%s, dbnet:%s, -)\n', e.edge, e.from_id, e.to_id) END, '' ORDER BY e.from_id, e.edge, e.to_id) FROM dbnet.graph_edges(graph.event) AS e),
            'endDocument');
    ELSE
        RAISE EXCEPTION 'unknown format "%"', graph.format USING ERRCODE = 'invalid_parameter_value', HINT = 'Formats are dot, mermaid, prov-json and provn.';
    END CASE;
END
$$;
COMMENT ON FUNCTION dbnet.graph(bigint, text) IS
    'What led to an event as a graph. Arguments: event; format: dot (Graphviz) | mermaid | prov-json (W3C member submission PROV-JSON) | provn (W3C PROV-N): versions of rows and traces are entities, statements, calls, activations, device calls and decisions of policies activities, who made a transaction is an agent. Errors: 42704 there is no such event, 22023 unknown format';
