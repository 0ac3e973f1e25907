// What statements configure (see configuration.hpp). Backends.
#include "provenance/hooks/configuration.hpp"

extern "C" {
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
}

namespace dbnet::provenance {
namespace {

bool is_our_wrapper(const char *name) noexcept {
    return strcmp(name, "dbnet_kubernetes") == 0;
}

bool is_name_of_ours(const char *name) {
    const ForeignServer *server = GetForeignServerByName(name, true);
    return server != nullptr && is_our_wrapper(GetForeignDataWrapper(server->fdwid)->fdwname);
}

bool is_any_of_ours(const List *names) {
    for (int place = 0; place < list_length(names); ++place)
        if (is_name_of_ours(strVal(list_nth(names, place))))
            return true;
    return false;
}

bool is_our_setting(const VariableSetStmt *set) noexcept {
    return set->kind == VAR_RESET_ALL || (set->name != nullptr && pg_strncasecmp(set->name, "dbnet.", 6) == 0);
}

const char *name_of(const RoleSpec *role) noexcept {
    switch (role->roletype) {
    case ROLESPEC_CSTRING:
        return quote_identifier(role->rolename);
    case ROLESPEC_PUBLIC:
        return "PUBLIC";
    case ROLESPEC_SESSION_USER:
        return "SESSION_USER";
    default:
        return "CURRENT_USER";
    }
}

bool has_mapping(const RoleSpec *user, const char *server_name) {
    const ForeignServer *server = GetForeignServerByName(server_name, true);
    const bool is_public = user->roletype == ROLESPEC_PUBLIC;
    const Oid role = is_public ? InvalidOid : get_rolespec_oid(user, true);
    return server != nullptr && (is_public || OidIsValid(role)) &&
           SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(role), ObjectIdGetDatum(server->serverid));
}

// The statement without the values of its options.
Configuration of_mapping(const char *done, const char *verb, const RoleSpec *user, const char *server,
                         const List *options) {
    if (!is_name_of_ours(server))
        return {};
    StringInfoData text;
    initStringInfo(&text);
    appendStringInfo(&text, "%s USER MAPPING FOR %s SERVER %s", verb, name_of(user), quote_identifier(server));
    for (int place = 0; place < list_length(options); ++place) {
        const auto *option = static_cast<const DefElem *>(list_nth(options, place));
        appendStringInfo(&text, "%s%s%s", place == 0 ? " OPTIONS (" : ", ",
                         option->defaction == DEFELEM_DROP ? "DROP " : "", quote_identifier(option->defname));
    }
    if (options != NIL)
        appendStringInfoChar(&text, ')');
    return {done, "user mapping", text.data};
}

Configuration if_ours(bool is_ours, const char *done, const char *what) noexcept {
    return is_ours ? Configuration{done, what, nullptr} : Configuration{};
}

} // namespace

bool is_our_server(Oid server) {
    const ForeignServer *found = GetForeignServerExtended(server, FSV_MISSING_OK);
    return found != nullptr && is_our_wrapper(GetForeignDataWrapper(found->fdwid)->fdwname);
}

Configuration configuration_of(const Node *statement) {
    switch (nodeTag(statement)) {
    case T_CreateForeignServerStmt: {
        const auto *create = reinterpret_cast<const CreateForeignServerStmt *>(statement);
        return if_ours(is_our_wrapper(create->fdwname) && GetForeignServerByName(create->servername, true) == nullptr,
                       "created", "server");
    }
    case T_AlterForeignServerStmt:
        return if_ours(is_name_of_ours(reinterpret_cast<const AlterForeignServerStmt *>(statement)->servername),
                       "altered", "server");
    case T_RenameStmt: {
        const auto *rename = reinterpret_cast<const RenameStmt *>(statement);
        return if_ours(rename->renameType == OBJECT_FOREIGN_SERVER && is_name_of_ours(strVal(rename->object)),
                       "altered", "server");
    }
    case T_AlterOwnerStmt: {
        const auto *change = reinterpret_cast<const AlterOwnerStmt *>(statement);
        return if_ours(change->objectType == OBJECT_FOREIGN_SERVER && is_name_of_ours(strVal(change->object)),
                       "altered", "server");
    }
    case T_GrantStmt: {
        const auto *grant = reinterpret_cast<const GrantStmt *>(statement);
        return if_ours(grant->objtype == OBJECT_FOREIGN_SERVER && is_any_of_ours(grant->objects), "altered", "server");
    }
    case T_DropStmt: {
        const auto *drop = reinterpret_cast<const DropStmt *>(statement);
        return if_ours(drop->removeType == OBJECT_FOREIGN_SERVER && is_any_of_ours(drop->objects), "dropped", "server");
    }
    case T_CreateUserMappingStmt: {
        const auto *create = reinterpret_cast<const CreateUserMappingStmt *>(statement);
        if (has_mapping(create->user, create->servername))
            return {}; // IF NOT EXISTS, or it fails
        return of_mapping("created", "CREATE", create->user, create->servername, create->options);
    }
    case T_AlterUserMappingStmt: {
        const auto *alter = reinterpret_cast<const AlterUserMappingStmt *>(statement);
        return of_mapping("altered", "ALTER", alter->user, alter->servername, alter->options);
    }
    case T_DropUserMappingStmt: {
        const auto *drop = reinterpret_cast<const DropUserMappingStmt *>(statement);
        if (!has_mapping(drop->user, drop->servername))
            return {}; // IF EXISTS, or it fails
        return of_mapping("dropped", "DROP", drop->user, drop->servername, NIL);
    }
    case T_AlterSystemStmt:
        return if_ours(is_our_setting(reinterpret_cast<const AlterSystemStmt *>(statement)->setstmt), "altered",
                       "setting");
    case T_AlterDatabaseSetStmt:
        return if_ours(is_our_setting(reinterpret_cast<const AlterDatabaseSetStmt *>(statement)->setstmt), "altered",
                       "setting");
    case T_AlterRoleSetStmt:
        return if_ours(is_our_setting(reinterpret_cast<const AlterRoleSetStmt *>(statement)->setstmt), "altered",
                       "setting");
    default:
        return {};
    }
}

bool holds_secret(const Node *statement) noexcept {
    const List *options = NIL;
    switch (nodeTag(statement)) {
    case T_CreateUserMappingStmt:
    case T_AlterUserMappingStmt:
    case T_CreateSubscriptionStmt: // CONNECTION
    case T_AlterSubscriptionStmt:
        return true;
    case T_CreateRoleStmt:
        options = reinterpret_cast<const CreateRoleStmt *>(statement)->options;
        break;
    case T_AlterRoleStmt:
        options = reinterpret_cast<const AlterRoleStmt *>(statement)->options;
        break;
    default:
        break;
    }
    for (int place = 0; place < list_length(options); ++place)
        if (strcmp(static_cast<const DefElem *>(list_nth(options, place))->defname, "password") == 0)
            return true;
    return false;
}

} // namespace dbnet::provenance
