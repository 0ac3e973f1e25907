// SQL functions about servers: the option validator, the event trigger that ties credentials to an endpoint, and
// dbnet.kinds(). Runs in backends.
#include "kubernetes/schema/discovery.hpp"
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/row_writer.hpp"
#include "mirror/server/client_session.hpp"
#include "mirror/server/offline.hpp"
#include "mirror/server/served_kinds.hpp"
#include "mirror/server/server_options.hpp"
#include "pg/text_columns.hpp"

#include <algorithm>
#include <tuple>

extern "C" {
#include "access/reloptions.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "commands/event_trigger.h"
#include "utils/builtins.h"
}

namespace dbnet::mirror {
namespace {

OptionPlace place_of(Oid catalog) {
    switch (catalog) {
    case ForeignDataWrapperRelationId:
        return OptionPlace::wrapper;
    case ForeignServerRelationId:
        return OptionPlace::server;
    case UserMappingRelationId:
        return OptionPlace::user_mapping;
    default:
        return OptionPlace::foreign_table;
    }
}

int sqlstate_of(OptionError::Kind kind) {
    switch (kind) {
    case OptionError::unknown_option:
        return ERRCODE_FDW_INVALID_OPTION_NAME;
    case OptionError::not_permitted:
        return ERRCODE_INSUFFICIENT_PRIVILEGE;
    case OptionError::not_available:
        return ERRCODE_FEATURE_NOT_SUPPORTED;
    case OptionError::invalid_value:
    case OptionError::invalid_combination:
        break;
    }
    return ERRCODE_INVALID_PARAMETER_VALUE;
}

Options read_options(Datum array) {
    Options options;
    pg::call([&] {
        List *list = untransformRelOptions(array);
        ListCell *cell;
        foreach (cell, list) {
            auto *definition = static_cast<DefElem *>(lfirst(cell));
            options[definition->defname] = defGetString(definition);
        }
    });
    return options;
}

// Notes every server and mapping that the running command made or altered. A changed endpoint keeps the credentials
// that were good before and that the role who changes it may know anyway: its own, or all of them for a superuser.
const pg::Statement note_server{
    "WITH altered AS (SELECT server.srvname,"
    "  pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(server.srvoptions::text, 'UTF8')), 'hex') AS "
    "fingerprint"
    "  FROM pg_catalog.pg_foreign_server AS server"
    "  JOIN pg_catalog.pg_foreign_data_wrapper AS wrapper ON wrapper.oid = server.srvfdw"
    "  WHERE server.oid = $1 AND wrapper.fdwname = 'dbnet_kubernetes'),"
    " kept AS (UPDATE dbnet.credential AS credential SET fingerprint = altered.fingerprint"
    "  FROM altered, dbnet.endpoint AS before"
    "  WHERE credential.server = altered.srvname AND before.server = altered.srvname"
    "  AND credential.fingerprint = before.fingerprint"
    "  AND ($3 OR credential.given_by = pg_catalog.pg_get_userbyid($2)))"
    " INSERT INTO dbnet.endpoint (server, fingerprint) SELECT srvname, fingerprint FROM altered"
    " ON CONFLICT (server) DO UPDATE SET fingerprint = excluded.fingerprint"};

const pg::Statement note_mapping{
    "INSERT INTO dbnet.credential (server, role, given_by, fingerprint)"
    " SELECT server.srvname, CASE WHEN mapping.umuser = 0 THEN 'public' ELSE "
    "pg_catalog.pg_get_userbyid(mapping.umuser) END,"
    "  pg_catalog.pg_get_userbyid($2), endpoint.fingerprint"
    " FROM pg_catalog.pg_user_mapping AS mapping"
    " JOIN pg_catalog.pg_foreign_server AS server ON server.oid = mapping.umserver"
    " JOIN dbnet.endpoint ON endpoint.server = server.srvname"
    " WHERE mapping.oid = $1"
    " ON CONFLICT (server, role) DO UPDATE SET given_by = excluded.given_by, fingerprint = excluded.fingerprint"};

// A new server inherits nothing from one of the same name that was dropped.
const pg::Statement forget_predecessor[] = {
    pg::Statement{"DELETE FROM dbnet.credential USING pg_catalog.pg_foreign_server AS made"
                  " WHERE made.oid = $1 AND credential.server = made.srvname"},
    pg::Statement{"DELETE FROM dbnet.mapped_role USING pg_catalog.pg_foreign_server AS made"
                  " WHERE made.oid = $1 AND mapped_role.server = made.srvname"},
};

// What names a server follows it when it is renamed. Leftovers of a dropped server that had the new name go first, but
// for a pause, which only dbnet.resume() ends.
const pg::Statement follow_rename[] = {
    pg::Statement{"DELETE FROM dbnet.endpoint WHERE server = $2::name AND server <> $1::name"},
    pg::Statement{"DELETE FROM dbnet.credential WHERE server = $2::name AND server <> $1::name"},
    pg::Statement{"DELETE FROM dbnet.mapped_role WHERE server = $2::name AND server <> $1::name"},
    pg::Statement{"UPDATE dbnet.endpoint SET server = $2::name WHERE server = $1::name"},
    pg::Statement{"UPDATE dbnet.credential SET server = $2::name WHERE server = $1::name"},
    pg::Statement{"UPDATE dbnet.mapped_role SET server = $2::name WHERE server = $1::name"},
    pg::Statement{"UPDATE dbnet.paused_server SET server = $2::name WHERE server = $1::name"
                  " AND NOT EXISTS (SELECT FROM dbnet.paused_server WHERE server = $2::name)"},
    pg::Statement{"UPDATE dbnet.mirrored_relation SET server = $2::name, generation = nextval('dbnet.generation')"
                  " WHERE server = $1::name"},
};

const pg::Statement commands{"SELECT classid, objid, command_tag FROM pg_catalog.pg_event_trigger_ddl_commands()"};

// Old and new name of a server that the command has renamed.
struct Renamed {
    const char *from = nullptr, *to = nullptr;
};

Renamed renamed_server(const Node *command) {
    if (!IsA(command, RenameStmt))
        return {};
    const auto &rename = *reinterpret_cast<const RenameStmt *>(command);
    return rename.renameType == OBJECT_FOREIGN_SERVER ? Renamed{strVal(rename.object), rename.newname} : Renamed{};
}

} // namespace

DBNET_FUNCTION(dbnet_validate_options) {
    const Options options = read_options(PG_GETARG_DATUM(0));
    const bool may_read_files =
        pg::call([] { return superuser() || has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES); });
    try {
        check_options(place_of(PG_GETARG_OID(1)), options, may_read_files);
    } catch (const OptionError &failure) {
        throw pg::error(sqlstate_of(failure.kind()), failure.what()).hint(failure.hint());
    }
    PG_RETURN_VOID();
}

DBNET_FUNCTION(dbnet_record_credentials) {
    if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
        throw pg::error(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED,
                        "dbnet.record_credentials() is an event trigger");
    const Renamed renamed = renamed_server(reinterpret_cast<EventTriggerData *>(fcinfo->context)->parsetree);
    const Oid role = GetUserId();
    const bool is_superuser = pg::call([] { return superuser(); });
    pg::in_spi([&] {
        as_extension([&] {
            if (renamed.from)
                for (const pg::Statement &statement : follow_rename)
                    pg::execute(statement, renamed.from, renamed.to);
            const pg::Result altered = pg::execute(commands);
            for (size_t i = 0; i < altered.rows(); i++) {
                const Oid object = altered.oid(i, 1);
                if (altered.text(i, 2) == "CREATE SERVER")
                    for (const pg::Statement &statement : forget_predecessor)
                        pg::execute(statement, object);
                if (altered.text(i, 2) == "CREATE SERVER" || altered.text(i, 2) == "ALTER SERVER")
                    forget_assumed(object); // the mirrors of a name may have had an offline server before
                if (altered.oid(i, 0) == ForeignServerRelationId)
                    pg::execute(note_server, object, role, is_superuser);
                else if (altered.oid(i, 0) == UserMappingRelationId)
                    pg::execute(note_mapping, object, role);
            }
        });
    });
    return Datum{0};
}

DBNET_FUNCTION(dbnet_kinds) {
    RowWriter rows(fcinfo);
    const std::string server = NameStr(*PG_GETARG_NAME(0));
    ClientSession session = open_session(server, GetUserId());
    kubernetes::Discovery discovery = discover(session);
    std::ranges::sort(discovery.kinds, {}, [](const kubernetes::DiscoveredKind &kind) {
        return std::tie(kind.resource.group, kind.resource.version, kind.resource.kind, kind.resource.plural);
    });
    for (const kubernetes::DiscoveredKind &kind : discovery.kinds)
        rows.add({kind.resource.api_version(), kind.resource.kind, kind.resource.plural,
                  boolean_text(kind.resource.namespaced), pg::array_text(kind.verbs), pg::array_text(kind.short_names),
                  boolean_text(is_preferred(discovery, kind))});
    return Datum{0};
}

} // namespace dbnet::mirror
