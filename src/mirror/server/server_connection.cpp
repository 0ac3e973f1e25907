// Reads the SQL/MED catalogs (see server_connection.hpp); backends and mirror worker.
#include "mirror/server/server_connection.hpp"

#include "mirror/server/server_options.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

#include <nlohmann/json.hpp>

#include <optional>

namespace dbnet::mirror {
namespace {

// Options come as one JSON object each: option values may hold anything, '=' and commas included.
const pg::Statement find_server{
    "SELECT wrapper.fdwname = 'dbnet_kubernetes',"
    " pg_catalog.has_server_privilege($2, server.oid, 'USAGE'),"
    " (SELECT pg_catalog.json_object_agg(option_name, option_value) FROM "
    "pg_catalog.pg_options_to_table(server.srvoptions)),"
    " mapping.umuser IS NOT NULL,"
    " (SELECT pg_catalog.json_object_agg(option_name, option_value) FROM "
    "pg_catalog.pg_options_to_table(mapping.umoptions)),"
    " credential.fingerprint IS NOT DISTINCT FROM endpoint.fingerprint AND endpoint.fingerprint IS NOT NULL,"
    " CASE WHEN mapping.umuser = 0 THEN 'PUBLIC' ELSE "
    "pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(mapping.umuser)) END,"
    " pg_catalog.quote_ident(server.srvname), pg_catalog.pg_get_userbyid($2),"
    " owner.rolsuper, pg_catalog.quote_ident(owner.rolname)"
    " FROM pg_catalog.pg_foreign_server AS server"
    " JOIN pg_catalog.pg_foreign_data_wrapper AS wrapper ON wrapper.oid = server.srvfdw"
    " JOIN pg_catalog.pg_roles AS owner ON owner.oid = server.srvowner"
    " LEFT JOIN LATERAL (SELECT umuser, umoptions FROM pg_catalog.pg_user_mapping"
    "  WHERE umserver = server.oid AND umuser IN (0, $2) ORDER BY umuser DESC LIMIT 1) AS mapping ON true"
    " LEFT JOIN dbnet.credential ON credential.server = server.srvname AND credential.role ="
    "  CASE WHEN mapping.umuser = 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(mapping.umuser) END"
    " LEFT JOIN dbnet.endpoint ON endpoint.server = server.srvname"
    " WHERE server.srvname = $1::pg_catalog.name"};

const pg::Statement ask_offline{"SELECT dbnet.is_offline($1::pg_catalog.name)"};

Options parse_options(const char *json) {
    Options options;
    if (!json)
        return options;
    const nlohmann::json parsed = nlohmann::json::parse(json);
    for (const auto &[name, value] : parsed.items())
        options.emplace(name, value.is_string() ? value.get<std::string>() : std::string());
    return options;
}

// A program runs with all that the server's operating system user may do: only superusers may say which, and only
// servers that nobody else can change get credentials from it.
void permit_program(kubernetes::ExecPlugin &program, const std::string &server, const pg::Result &found) {
    const std::string asks = "server \"" + server + "\" gets its credentials from program \"" + program.command + '"';
    if (!found.boolean(0, 9))
        throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                        asks + ", and its owner " + std::string(found.text(0, 10)) + " is not a superuser")
            .hint("ALTER SERVER " + std::string(found.text(0, 7)) +
                  " OWNER TO a superuser, or use other credentials (CREATE USER MAPPING).");
    const bool is_name = program.command.find('/') == std::string::npos;
    for (const std::string &allowed : settings::exec_plugin_list())
        if (allowed == program.command || (is_name && allowed.ends_with('/' + program.command))) {
            program.command = allowed;
            program.time_limit = std::chrono::seconds(settings::exec_timeout);
            return;
        }
    throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, asks + ", which is not allowed")
        .detail("dbnet.exec_plugins lists the programs that may run on the database server, by their absolute paths.")
        .hint("A superuser allows it: ALTER SYSTEM SET dbnet.exec_plugins = '" + (is_name ? "/.../" : std::string()) +
              program.command + "'; SELECT pg_reload_conf();");
}

} // namespace

kubernetes::Connection resolve_connection(std::string_view server, Oid role) {
    const std::string name(server);
    const pg::Result found = pg::execute(find_server, server, role);
    if (found.rows() == 0)
        throw pg::error(ERRCODE_UNDEFINED_OBJECT, "server \"" + name + "\" does not exist")
            .hint("Create it with CREATE SERVER ... FOREIGN DATA WRAPPER dbnet_kubernetes.");
    if (!found.boolean(0, 0))
        throw pg::error(ERRCODE_WRONG_OBJECT_TYPE, "server \"" + name + "\" is not a Kubernetes API server")
            .hint("DBNet works with servers of FOREIGN DATA WRAPPER dbnet_kubernetes.");
    if (!found.boolean(0, 1))
        throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE, "permission denied for foreign server " + name)
            .detail("Role " + std::string(found.text(0, 8)) + " has no USAGE privilege on it.")
            .hint("GRANT USAGE ON FOREIGN SERVER " + std::string(found.text(0, 7)) + " TO " +
                  pg::quoted_name(found.text(0, 8)) + ";");
    const Options server_options = parse_options(found.at(0, 2));
    if (is_true(server_options, "offline"))
        throw pg::error(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, offline_message(server))
            .detail("DBNet never connects to an offline server; it is for tests of policies without a cluster.")
            .hint("ALTER SERVER " + std::string(found.text(0, 7)) +
                  " OPTIONS (SET offline 'false'), with an api_url or kubeconfig, connects it.");
    const bool has_mapping = found.boolean(0, 3);
    if (has_mapping && !found.boolean(0, 5))
        throw pg::error(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
                        "the credentials of " + std::string(found.text(0, 6)) + " for server \"" + name +
                            "\" were given for another endpoint")
            .detail("Somebody else has changed the options of the server since; credentials are not sent to where they "
                    "were not given for.")
            .hint("If the server leads to the right place now, give them again: ALTER USER MAPPING FOR " +
                  std::string(found.text(0, 6)) + " SERVER " + std::string(found.text(0, 7)) + " OPTIONS (SET ...).");
    std::optional<Options> mapping_options;
    if (has_mapping)
        mapping_options = parse_options(found.at(0, 4));
    try {
        kubernetes::Connection connection =
            connection_of(server_options, mapping_options ? &*mapping_options : nullptr);
        if (connection.exec)
            permit_program(*connection.exec, name, found);
        return connection;
    } catch (const kubernetes::Failure &failure) {
        throw pg::error(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION,
                        "server \"" + name + "\": " + failure.what())
            .hint(failure.hint());
    }
}

bool is_offline(std::string_view server) {
    return pg::execute(ask_offline, server).boolean(0, 0);
}

std::string offline_message(std::string_view server) {
    return "server \"" + std::string(server) + "\" is offline";
}

} // namespace dbnet::mirror
