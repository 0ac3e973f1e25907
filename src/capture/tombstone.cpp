// Tombstones (see tombstone.hpp). Runs in backends.
#include "capture/tombstone.hpp"

#include "pg/as_role.hpp"
#include "pg/spi.hpp"

namespace dbnet::capture {
namespace {

// Runs with the rights of the extension's owner under the user's search_path, so every name and operator is qualified.
pg::Statement insert_tombstone{
    "INSERT INTO dbnet.tombstone (relation, namespace, name, uid, created_by_us, last_body, deleted_by)"
    " SELECT $1::pg_catalog.regclass, $2, $3, object.uid, coalesce(object.created_by_us, false), object.live, "
    "pg_catalog.pg_get_userbyid($4)"
    " FROM (SELECT) AS deleted_row"
    " LEFT JOIN dbnet.object ON object.relation OPERATOR(pg_catalog.=) $1::pg_catalog.regclass"
    " AND object.namespace OPERATOR(pg_catalog.=) $2 AND object.name OPERATOR(pg_catalog.=) $3"};

} // namespace

void leave_tombstone(Oid owner, Oid relation, std::string_view name_space, std::string_view name) {
    const Oid deleted_by = pg::acting_role();
    Oid user = InvalidOid;
    int security_context = 0;
    GetUserIdAndSecContext(&user, &security_context);
    // An error aborts the (sub)transaction, which restores both.
    SetUserIdAndSecContext(owner, security_context | SECURITY_LOCAL_USERID_CHANGE);
    pg::in_spi([&] { pg::execute(insert_tombstone, relation, name_space, name, deleted_by); });
    SetUserIdAndSecContext(user, security_context);
}

} // namespace dbnet::capture
