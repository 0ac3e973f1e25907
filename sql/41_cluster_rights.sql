-- What DBNet may do in a cluster is given there. Which rights the mirrors of a server need, as kubectl takes them.

CREATE FUNCTION dbnet.cluster_rights(server name, OUT relation regclass, OUT namespace text, OUT api_group text, OUT resource text,
                                     OUT subresource text, OUT verb text)
    RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH mirror AS (
        SELECT mirrored.relation, mirrored.mode = 'manage' AS manages, mirrored.resource, coalesce(mirrored.namespace, '') AS namespace,
               CASE WHEN mirrored.api_version LIKE '%/%' THEN split_part(mirrored.api_version, '/', 1) ELSE '' END AS api_group,
               -- what users write goes to these; '' = the object itself
               (SELECT array_agg(DISTINCT coalesce(mapped.subresource, '')) FROM dbnet.mirrored_column AS mapped
                WHERE mapped.relation = mirrored.relation AND mapped.role IN ('spec', 'meta')) AS sent_to
        FROM dbnet.mirrored_relation AS mirrored WHERE mirrored.server = $1
    )
    SELECT mirror.relation, mirror.namespace, mirror.api_group, mirror.resource, need.subresource, need.verb
    FROM mirror, (VALUES (1, '', 'get', false), (2, '', 'list', false), (3, '', 'watch', false), (4, '', 'create', true), (5, '', 'patch', true),
                         (6, '', 'delete', true), (7, 'status', 'patch', true), (8, 'scale', 'patch', true)) AS need (position, subresource, verb, is_write)
    WHERE NOT need.is_write OR mirror.manages AND dbnet.impersonation($1) <> 'required' AND need.subresource = ANY (coalesce(mirror.sent_to, '{""}'))
    ORDER BY mirror.relation::text, need.position;
END;
COMMENT ON FUNCTION dbnet.cluster_rights(name) IS
    'Which rights in the cluster each mirror of a server needs: get, list and watch for mode observe; create, patch and delete too for mode manage, unless all that users write is sent through subresources, then those alone; where the server''s option impersonate is required they are needed by the users of dbnet.mapped_role instead. Argument: foreign server. namespace and subresource are empty for the whole cluster and the object itself. What dbnet.rbac and dbnet.check_server are made of';

CREATE FUNCTION dbnet.impersonated(server name, OUT role regrole, OUT namespace text, OUT api_group text, OUT resource text, OUT subresource text, OUT name text)
    RETURNS SETOF record
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH mapped AS (
        SELECT *, regexp_match(user_name, '^system:serviceaccount:([^:]+):([^:]+)$') AS account
        FROM dbnet.mapped_role WHERE mapped_role.server = $1 AND dbnet.impersonation($1) <> 'off'
    )
    SELECT mapped.role, coalesce(mapped.account[1], ''), '', CASE WHEN mapped.account IS NULL THEN 'users' ELSE 'serviceaccounts' END, '', coalesce(mapped.account[2], user_name) FROM mapped
    UNION SELECT mapped.role, '', '', 'groups', '', member FROM mapped, unnest(groups) AS member
    UNION SELECT mapped.role, '', 'authentication.k8s.io', 'uids', '', uid FROM mapped WHERE uid IS NOT NULL
    UNION SELECT mapped.role, '', 'authentication.k8s.io', 'userextras', lower(e.key), said FROM mapped, jsonb_each(extra) AS e, jsonb_array_elements_text(e.value) AS v (said)
    ORDER BY 1, 2, 3, 4, 5, 6;
END;
COMMENT ON FUNCTION dbnet.impersonated(name) IS
    'What the credentials of a server must be allowed to act as (verb impersonate), by role of dbnet.mapped_role: none where option impersonate of the server is off. Argument: foreign server. namespace is empty for all but service accounts. What dbnet.rbac and dbnet.check_server are made of';

CREATE FUNCTION dbnet.rbac(server name, subject text DEFAULT NULL, role_name text DEFAULT NULL, operations boolean DEFAULT false) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    -- ServiceAccounts as the API server names them, in dbnet.check_server() too
    account text[] := regexp_match(subject, '^system:serviceaccount:([^:]+):([^:]+)$');
    -- else whatever is written is written by users of dbnet.mapped_role
    writes boolean := dbnet.impersonation(server) <> 'required';
    manifest text;
BEGIN
    IF server IS NULL OR NOT EXISTS (SELECT FROM pg_foreign_server JOIN pg_foreign_data_wrapper ON pg_foreign_data_wrapper.oid = srvfdw
                                     WHERE srvname = rbac.server AND fdwname = 'dbnet_kubernetes') THEN
        RAISE undefined_object USING MESSAGE = format('server "%s" is no server of dbnet_kubernetes', server), HINT = 'SELECT srvname FROM pg_foreign_server lists all servers.';
    END IF;
    -- RBAC takes any segment of a path as a name.
    role_name := coalesce(role_name, 'dbnet-' || regexp_replace(lower(server), '[^a-z0-9.-]+', '-', 'g'));
    WITH managed AS (
        SELECT CASE WHEN api_version LIKE '%/%' THEN split_part(api_version, '/', 1) ELSE '' END AS api_group, kind, resource, namespaced, coalesce(namespace, '') AS namespace
        FROM dbnet.mirrored_relation WHERE mirrored_relation.server = rbac.server AND mode = 'manage'
    ), needed (namespace, api_group, resource, verbs) AS ( -- namespace '' = the cluster
        SELECT namespace, api_group, resource || CASE subresource WHEN '' THEN '' ELSE '/' || subresource END, ARRAY[verb] FROM dbnet.cluster_rights(server)
        -- A Lease's name changes with pg_upgrade and with a restored dump: no resourceNames.
        UNION ALL SELECT dbnet.lease_namespace(server), 'coordination.k8s.io', 'leases', '{get,create,update}' FROM managed
        -- Events of what is in no namespace are in default.
        UNION ALL SELECT CASE WHEN namespaced THEN namespace ELSE 'default' END, 'events.k8s.io', 'events', '{create,patch}' FROM managed WHERE dbnet.writes_events(server)
        UNION ALL SELECT namespace, '', 'pods/eviction', '{create}' FROM managed WHERE operations AND writes AND (api_group, kind) = ('', 'Pod')
        UNION ALL SELECT '', '', 'pods/eviction', '{create}' FROM managed WHERE operations AND writes AND (api_group, kind) = ('', 'Node')
        UNION ALL SELECT '', '', 'pods', '{list}' FROM managed WHERE operations AND (api_group, kind) = ('', 'Node')
        UNION ALL SELECT '', 'apps', 'daemonsets', '{get}' FROM managed WHERE operations AND (api_group, kind) = ('', 'Node')
        -- cordon and restart patch the object itself, whichever columns there are
        UNION ALL SELECT namespace, api_group, resource, '{patch}' FROM managed
            WHERE operations AND writes AND (api_group, kind) IN (('', 'Node'), ('apps', 'Deployment'), ('apps', 'StatefulSet'), ('apps', 'DaemonSet'))
    ), verb AS (
        SELECT DISTINCT namespace, api_group, resource, verb
        FROM needed, unnest(verbs) AS verb WHERE namespace IS NOT NULL
    ), least AS ( -- what is given in the whole cluster need not be given in a namespace
        SELECT namespace, api_group, resource, array_agg(verb ORDER BY array_position('{get,list,watch,create,update,patch,delete}', verb)) AS verbs
        FROM verb WHERE namespace = '' OR NOT EXISTS (SELECT FROM verb AS wide WHERE wide.namespace = ''
                                                      AND (wide.api_group, wide.resource, wide.verb) = (verb.api_group, verb.resource, verb.verb))
        GROUP BY namespace, api_group, resource
    ), impersonated AS (
        SELECT DISTINCT namespace, api_group, resource || CASE subresource WHEN '' THEN '' ELSE '/' || subresource END AS resource, name FROM dbnet.impersonated(server)
    ), rule AS (
        SELECT namespace, api_group, verbs, array_agg(resource ORDER BY resource) AS resources, '{}'::text[] AS names FROM least GROUP BY namespace, api_group, verbs
        UNION ALL SELECT namespace, api_group, '{impersonate}', ARRAY[resource], array_agg(name ORDER BY name) FROM impersonated GROUP BY namespace, api_group, resource
    ), role AS (
        SELECT namespace, CASE namespace WHEN '' THEN 'ClusterRole' ELSE 'Role' END AS kind,
               concat(E'metadata:\n  name: ', to_json(role_name), CASE WHEN namespace <> '' THEN E'\n  namespace: ' || to_json(namespace) END,
                      E'\n  labels: {app.kubernetes.io/name: dbnet}\n') AS metadata,
               string_agg(replace(concat('- apiGroups: ', to_json(ARRAY[api_group]), E'\n  resources: ', to_json(resources), E'\n  resourceNames: ' || nullif(to_json(names)::text, '[]'),
                                         E'\n  verbs: ', to_json(verbs), E'\n'), '","', '", "'),
                          '' ORDER BY api_group, resources, verbs)
               -- by whose uid a server that leads to another cluster is told
               || CASE WHEN namespace = '' AND NOT EXISTS (SELECT FROM least AS other WHERE other.namespace = '' AND other.api_group = '' AND other.resource = 'namespaces' AND 'get' = ANY (other.verbs))
                       THEN E'- apiGroups: [""]\n  resources: ["namespaces"]\n  resourceNames: ["kube-system"]\n  verbs: ["get"]\n' ELSE '' END AS rules
        FROM rule GROUP BY namespace
    )
    SELECT string_agg(format(E'---\napiVersion: rbac.authorization.k8s.io/v1\nkind: %s\n%srules:\n%s', kind, metadata, rules) ||
               CASE WHEN subject IS NULL THEN ''
                    ELSE format(E'---\napiVersion: rbac.authorization.k8s.io/v1\nkind: %sBinding\n%sroleRef: {apiGroup: rbac.authorization.k8s.io, kind: %s, name: %s}\nsubjects:\n- %s\n',
                                kind, metadata, kind, to_json(role_name),
                                CASE WHEN account IS NULL THEN format('{apiGroup: rbac.authorization.k8s.io, kind: User, name: %s}', to_json(subject))
                                     ELSE format('{kind: ServiceAccount, namespace: %s, name: %s}', to_json(account[1]), to_json(account[2])) END) END,
               '' ORDER BY namespace)
    INTO manifest FROM role;
    RETURN coalesce(manifest, format(E'# No table mirrors server %s yet: nothing but discovery is needed.\n', to_json(server::text)));
END
$$;
COMMENT ON FUNCTION dbnet.rbac(name, text, text, boolean) IS
    'The least rights in the cluster that the mirrors of a server need, as YAML for kubectl apply: a ClusterRole for what is mirrored in the whole cluster, a Role in each namespace that is mirrored by itself; what dbnet.cluster_rights lists, the Lease by which one of several copies of this database writes, with option events of the server its Events, and, in the ClusterRole, a look at the namespace kube-system, which tells one cluster from another; with option impersonate of the server the right to act as the users of dbnet.mapped_role and as nobody else. Arguments: foreign server; subject: to whom it is given, as dbnet.check_server names it (system:serviceaccount:<namespace>:<name>, else a user; NULL = no bindings); role_name: name of roles and bindings (dbnet-<server>); operations: also what dbnet.evict and drain need (drain with disable_eviction needs delete on pods too). Discovery and access reviews are open to every authenticated client of a cluster with its default roles. Error: 42704 no such server';
