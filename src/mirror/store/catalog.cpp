// Reads the configuration (see catalog.hpp). Mirror worker.
#include "mirror/store/catalog.hpp"

#include <map>
#include <tuple>
#include <vector>

#include <nlohmann/json.hpp>

#include "mirror/server/server_connection.hpp"
#include "mirror/values/secret_values.hpp"
#include "pg/spi.hpp"

namespace dbnet::mirror {

namespace {

pg::Statement select_mirrors{R"sql(
    SELECT m.relation::oid, c.relowner, m.generation, m.server, m.api_version, m.kind, m.resource, m.namespaced, m.namespace,
           m.label_selector, m.field_manager, m.initial, m.mode, m.on_drift, m.on_external_delete, m.delete_foreign,
           coalesce(m.paused_reason, 'server ' || quote_ident(m.server) || ': ' || p.reason), dbnet.is_offline(m.server),
           dbnet.has_unique_key(m.relation::oid, k.columns), array_to_string(k.columns, ', '), m.secret_values,
           (SELECT d.key FROM dbnet.digest_key AS d), dbnet.lease_namespace(m.server), m.on_immutable = 'recreate',
           dbnet.writes_events(m.server)
    FROM dbnet.mirrored_relation AS m
    JOIN pg_class AS c ON c.oid = m.relation
    LEFT JOIN dbnet.paused_server AS p ON p.server = m.server
    CROSS JOIN LATERAL (SELECT array_agg(c.column_name::text ORDER BY c.path DESC) FROM dbnet.mirrored_column AS c
                        WHERE c.relation = m.relation AND c.role = 'key') AS k(columns)
    WHERE $1::oid IS NULL OR m.relation = $1
)sql",
                             pg::Planned::by_values};

// format_type without a search_path names types of pg_catalog alone without a schema: compare the same way as recorded.
pg::Statement select_columns{R"sql(
    SELECT m.relation::oid, m.column_name, m.path, m.role, m.value_type, m.format, m.on_drift, m.column_type,
           format_type(a.atttypid, a.atttypmod), m.rules, m.subresource
    FROM dbnet.mirrored_column AS m
    LEFT JOIN pg_attribute AS a ON a.attrelid = m.relation AND a.attname = m.column_name AND NOT a.attisdropped
    WHERE $1::oid IS NULL OR m.relation = $1
    ORDER BY m.relation, m.column_name
)sql",
                             pg::Planned::by_values};

pg::Statement select_arming{R"sql(
    SELECT a.system_identifier = s.system_identifier, a.database = d.oid, a.system_identifier, s.system_identifier, a.term, a.claimed_by, a.older_than
    FROM pg_control_system() AS s
    JOIN pg_database AS d ON d.datname = current_database()
    LEFT JOIN dbnet.arming AS a ON true
)sql"};

pg::Statement select_kubeconfigs{R"sql(
    SELECT o.option_value
    FROM pg_foreign_server AS s, pg_options_to_table(s.srvoptions) AS o
    WHERE o.option_name = 'kubeconfig' AND s.srvname IN (SELECT server FROM dbnet.mirrored_relation)
)sql"};

pg::Statement select_committers{R"sql(
    SELECT s.server, s.impersonation = 'required', r.role::oid, r.user_name, r.uid, to_json(r.groups), r.extra
    FROM (SELECT server, dbnet.impersonation(server) AS impersonation FROM dbnet.mirrored_relation GROUP BY server) AS s
    LEFT JOIN dbnet.mapped_role AS r ON r.server = s.server
    WHERE s.impersonation <> 'off'
)sql"};

Initial parse_initial(std::string_view text) {
    return text == "pull" ? Initial::pull : text == "push" ? Initial::push : Initial::compare;
}

std::shared_ptr<const kubernetes::Connection> connect(const Mirror &mirror, std::string &problem) {
    try {
        return std::make_shared<kubernetes::Connection>(
            pg::in_subtransaction([&] { return resolve_connection(mirror.server, mirror.owner); }));
    } catch (const std::exception &caught) {
        problem = caught.what();
    }
    return nullptr;
}

void read_columns(Catalog &catalog, std::optional<Oid> relation) {
    const pg::Result rows = pg::execute(select_columns, relation);
    for (size_t row = 0; row < rows.rows(); row++) {
        const auto found = catalog.mirrors.find(rows.oid(row, 0));
        if (found == catalog.mirrors.end())
            continue;
        Mirror &mirror = found->second;
        Column column;
        column.name = rows.text(row, 1);
        column.path = rows.text(row, 2);
        column.role = parse_role(rows.text(row, 3)).value_or(Role::spec);
        column.type = parse_value_type(rows.text(row, 4)).value_or(ValueType::json);
        column.format = rows.text(row, 5);
        column.on_drift = parse_on_drift(rows.text(row, 6));
        column.column_type = rows.text(row, 7);
        if (!rows.at(row, 8))
            mirror.problem = "column \"" + column.name + "\" (" + column.path + ") is not in the table any more";
        else if (rows.text(row, 8) != column.column_type)
            column.column_type = rows.text(row, 8); // values are checked one by one, so another type may do as well
        column.rules = ValueRules::parse(rows.text(row, 9));
        column.subresource = rows.text(row, 10);
        column.is_secret = mirror.holds_secrets;
        try {
            column.field = kubernetes::FieldPath::parse(column.path);
        } catch (const kubernetes::PathError &error) {
            mirror.problem = "column \"" + column.name + "\" (" + column.path + "): " + error.what();
        }
        if (column.role == Role::key && column.path == "metadata.name")
            mirror.name_column = column.name;
        else if (column.role == Role::key)
            mirror.namespace_column = column.name;
        mirror.mapping.columns.push_back(std::move(column));
    }
}

// All of them, or one.
void read_mirrors(Catalog &catalog, std::optional<Oid> relation) {
    const pg::Result rows = pg::execute(select_mirrors, relation);
    for (size_t row = 0; row < rows.rows(); row++) {
        Mirror mirror;
        mirror.relation = rows.oid(row, 0);
        mirror.owner = rows.oid(row, 1);
        mirror.generation = rows.integer(row, 2);
        mirror.qualified_name = pg::qualified_name(mirror.relation);
        mirror.server = rows.text(row, 3);
        std::tie(mirror.resource.group, mirror.resource.version) = kubernetes::split_api_version(rows.text(row, 4));
        mirror.resource.kind = rows.text(row, 5);
        mirror.resource.plural = rows.text(row, 6);
        mirror.resource.namespaced = rows.boolean(row, 7);
        mirror.name_space = rows.text(row, 8);
        mirror.label_selector = rows.text(row, 9);
        mirror.field_manager = rows.text(row, 10);
        mirror.initial = parse_initial(rows.text(row, 11));
        mirror.settings.group = mirror.resource.group;
        mirror.settings.kind = mirror.resource.kind;
        // One that DBNet does not understand leaves nothing out here; the server has the last word.
        mirror.settings.selector =
            kubernetes::LabelSelector::parse(mirror.label_selector).value_or(kubernetes::LabelSelector());
        mirror.settings.manage = rows.text(row, 12) == "manage";
        mirror.settings.on_drift = parse_on_drift(rows.text(row, 13)).value_or(OnDrift::report);
        mirror.settings.on_external_delete = parse_on_external_delete(rows.text(row, 14));
        mirror.settings.delete_foreign = rows.boolean(row, 15);
        mirror.settings.recreate_immutable = rows.boolean(row, 23);
        mirror.paused_reason = rows.text(row, 16);
        mirror.is_offline = rows.boolean(row, 17);
        mirror.writes_events = rows.boolean(row, 24);
        if (mirror.is_offline)
            mirror.connection_error = offline_message(mirror.server);
        if (!rows.boolean(row, 18))
            mirror.problem = "the table has no unique key on (" + std::string(rows.text(row, 19)) +
                             ") any more, by which rows are found: add one";
        mirror.lease_namespace = rows.text(row, 22);
        mirror.holds_secrets = !rows.text(row, 20).empty();
        if (rows.text(row, 20) == digest_values)
            mirror.mapping.digest_key = rows.text(row, 21);
        catalog.mirrors.emplace(mirror.relation, std::move(mirror));
    }
    read_columns(catalog, relation);
    for (auto &[relation, mirror] : catalog.mirrors)
        if (mirror.name_column.empty() && mirror.problem.empty())
            mirror.problem = "no column holds metadata.name";
}

// nullptr: what no request can name, as only a direct change of the table makes it. It must not cost the other mirrors.
std::shared_ptr<const kubernetes::Impersonation> user_from(const pg::Result &rows, size_t row) {
    auto user = std::make_shared<kubernetes::Impersonation>();
    user->user = rows.text(row, 3);
    user->uid = rows.text(row, 4);
    if (user->user.empty()) // else it would be nobody in particular, that is who the credentials are
        return nullptr;
    try {
        user->groups = nlohmann::json::parse(rows.text(row, 5)).get<std::vector<std::string>>();
        user->extra = nlohmann::json::parse(rows.text(row, 6)).get<std::map<std::string, std::vector<std::string>>>();
        kubernetes::validate(*user);
    } catch (const nlohmann::json::exception &) {
        return nullptr;
    } catch (const kubernetes::Failure &) {
        return nullptr;
    }
    return user;
}

void read_committers(Catalog &catalog) {
    std::map<std::string, std::shared_ptr<Committers>> servers;
    const pg::Result rows = pg::execute(select_committers);
    for (size_t row = 0; row < rows.rows(); row++) {
        auto &committers = servers[std::string(rows.text(row, 0))];
        if (!committers)
            committers = std::make_shared<Committers>();
        committers->is_on = true;
        committers->is_required = rows.boolean(row, 1);
        if (rows.at(row, 2))
            committers->users[rows.oid(row, 2)] = user_from(rows, row);
    }
    for (auto &[relation, mirror] : catalog.mirrors)
        if (const auto found = servers.find(mirror.server); found != servers.end())
            mirror.committers = found->second;
}

void connect_mirrors(Catalog &catalog) {
    const pg::Result kubeconfigs = pg::execute(select_kubeconfigs);
    for (size_t row = 0; row < kubeconfigs.rows(); row++)
        kubernetes::add_files(kubeconfigs.text(row, 0), catalog.files);
    for (auto &[relation, mirror] : catalog.mirrors) {
        if (mirror.is_offline)
            continue;
        mirror.connection = connect(mirror, mirror.connection_error);
        if (mirror.connection)
            kubernetes::add_files(*mirror.connection, catalog.files);
    }
}

} // namespace

Arming load_arming() {
    Arming arming;
    const pg::Result found = pg::execute(select_arming);
    // No row: no mirror was ever made, so there is nothing to be sent either.
    arming.armed = found.boolean(0, 0) && found.boolean(0, 1);
    if (arming.armed) {
        arming.term = found.integer(0, 4);
        arming.claimed_by = found.text(0, 5);
        arming.older_than = found.text(0, 6);
    }
    if (!arming.armed && found.at(0, 2))
        arming.disarmed_reason =
            "this database is a copy: DBNet was set up in " +
            (found.boolean(0, 0) ? std::string("another database of this server")
                                 : "the server with system identifier " + std::string(found.text(0, 2)) + ", this is " +
                                       std::string(found.text(0, 3))) +
            "; nothing is sent to any device until somebody calls dbnet.claim()";
    return arming;
}

Catalog load_catalog() {
    Catalog catalog;
    static_cast<Arming &>(catalog) = load_arming();
    read_mirrors(catalog, std::nullopt);
    read_committers(catalog);
    connect_mirrors(catalog);
    return catalog;
}

std::optional<Mirror> load_mirror(uint32_t relation) {
    Catalog catalog;
    read_mirrors(catalog, relation);
    if (catalog.mirrors.empty())
        return std::nullopt;
    return std::move(catalog.mirrors.begin()->second);
}

} // namespace dbnet::mirror
