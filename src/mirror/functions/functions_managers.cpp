// dbnet.is_owned_otherwise(): whether field managers of an object tell of somebody else's change. It is asked whenever
// the record of an object is written, so it is a loop over two documents and no query. Backends and the mirror worker.
#include "pg/guard.hpp"

extern "C" {
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
}

namespace dbnet::mirror {
namespace {

// All below may longjmp: none of it has a destructor.

// The managers of a path, newest first, each with its time after it: ["kubectl", "2026-01-01T00:00:00Z", …].
struct Owners {
    JsonbContainer *list = nullptr; // nullptr: none
    JsonbValue newest{};            // of list

    static Owners of(const JsonbValue *value) {
        Owners owners;
        if (value == nullptr || value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
            return owners;
        const JsonbValue *first = getIthJsonbValueFromContainer(value->val.binary.data, 0);
        if (first == nullptr || first->type != jbvString)
            return owners;
        owners.list = value->val.binary.data;
        owners.newest = *first;
        return owners;
    }

    // The name of a mirror's field manager, as mirrored_relation.field_manager has it; of this database's or another's.
    bool is_mirror() const noexcept {
        constexpr int prefix = 6, digits = 16;
        return list != nullptr && newest.val.string.len == prefix + digits &&
               strncmp(newest.val.string.val, "dbnet-", prefix) == 0;
    }
};

bool is_same(const JsonbValue &left, const JsonbValue &right) noexcept {
    return left.val.string.len == right.val.string.len &&
           memcmp(left.val.string.val, right.val.string.val, static_cast<size_t>(left.val.string.len)) == 0;
}

bool is_in_status(const JsonbValue &path) noexcept {
    return path.val.string.len >= 6 && strncmp(path.val.string.val, "status", 6) == 0;
}

bool is_among(const JsonbValue &path, const Datum *names, int count) {
    for (int place = 0; place < count; ++place) {
        const text *name = DatumGetTextPP(names[place]);
        if (static_cast<int>(VARSIZE_ANY_EXHDR(name)) == path.val.string.len &&
            memcmp(VARDATA_ANY(name), path.val.string.val, static_cast<size_t>(path.val.string.len)) == 0)
            return true;
    }
    return false;
}

bool is_others_change(const Owners &before, const Owners &after, bool is_claimed) {
    if (after.list == nullptr) // who let go of it, or removed it
        return before.list != nullptr && (is_claimed || !before.is_mirror());
    if (before.list != nullptr && compareJsonbContainers(before.list, after.list) == 0)
        return false;
    const bool was_ours = before.list == nullptr || is_same(before.newest, after.newest);
    return !(is_claimed && after.is_mirror() && was_ours);
}

bool has_others_change(Jsonb *before, Jsonb *after, const Datum *claimed, int claims) {
    for (Jsonb *document : {after, before}) {
        Jsonb *other = document == after ? before : after;
        JsonbIterator *members = JsonbIteratorInit(&document->root);
        JsonbValue path, value;
        for (JsonbIteratorToken token; (token = JsonbIteratorNext(&members, &path, true)) != WJB_DONE;) {
            if (token != WJB_KEY)
                continue;
            JsonbIteratorNext(&members, &value, true);
            if (is_in_status(path))
                continue;
            const JsonbValue *found = findJsonbValueFromContainer(&other->root, JB_FOBJECT, &path);
            if (document == before && found != nullptr) // told already
                continue;
            const Owners here = Owners::of(&value), there = Owners::of(found);
            if (is_others_change(document == after ? there : here, document == after ? here : there,
                                 is_among(path, claimed, claims)))
                return true;
        }
    }
    return false;
}

} // namespace
} // namespace dbnet::mirror

DBNET_FUNCTION(dbnet_is_owned_otherwise) {
    bool is_so = false;
    dbnet::pg::call([&] {
        Datum *claimed;
        int claims;
        deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false, TYPALIGN_INT, &claimed, nullptr, &claims);
        is_so = dbnet::mirror::has_others_change(PG_GETARG_JSONB_P(0), PG_GETARG_JSONB_P(1), claimed, claims);
    });
    PG_RETURN_BOOL(is_so);
}
