// Parent rows of foreign keys' statements (see foreign_key.hpp). Backends.
//
// ri_triggers.c builds them as: DELETE FROM [ONLY] child x WHERE $1 OPERATOR(…) "column" [AND …]
//                               UPDATE [ONLY] child x SET "column" = $1 [, …] WHERE $n OPERATOR(…) "column" [AND …]
// with the parent's old key in the WHERE, and in ON UPDATE CASCADE its new one in the SET.
#include "provenance/hooks/foreign_key.hpp"

#include "provenance/record/recorder.hpp"
#include "provenance/record/tracked_table.hpp"

#include <algorithm>

extern "C" {
#include "access/table.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
}

namespace dbnet::provenance {
namespace {

Oid written_table(const QueryDesc *query) {
    const List *written = query->plannedstmt->resultRelations;
    return written == NIL
               ? InvalidOid
               : static_cast<RangeTblEntry *>(list_nth(query->plannedstmt->rtable, list_nth_int(written, 0) - 1))
                     ->relid;
}

// The constraint whose columns are those that the WHERE names.
const ForeignKeyCacheInfo *find_constraint(Relation child, const char *where) {
    int conditions = 1;
    for (const char *found = strstr(where, " AND "); found != nullptr; found = strstr(found + 1, " AND "))
        ++conditions;
    const List *keys = RelationGetFKeyList(child);
    for (int index = 0; index < list_length(keys); ++index) {
        const auto *key = static_cast<const ForeignKeyCacheInfo *>(list_nth(keys, index));
        bool is_it = key->nkeys == conditions;
        for (int column = 0; column < key->nkeys && is_it; ++column) {
            const char *name = NameStr(TupleDescAttr(RelationGetDescr(child), key->conkey[column] - 1)->attname);
            // ri_triggers.c quotes always, doubling quotes.
            is_it = strchr(name, '"') != nullptr || strstr(where, psprintf(" \"%s\"", name)) != nullptr;
        }
        if (is_it)
            return key;
    }
    return nullptr;
}

// The parent's key as jsonb, from parameters that start at `first`; nullptr: the constraint refers to other columns
// than the tracked table's key.
Jsonb *parent_key(const TrackedTable &parent, const ForeignKeyCacheInfo &constraint, ParamListInfo parameters,
                  int first) {
    if (parent.key_count != constraint.nkeys || first + constraint.nkeys > parameters->numParams)
        return nullptr;
    auto *fields = static_cast<JsonbField *>(palloc0(sizeof(JsonbField) * (parent.key_count + 1)));
    int count = 0;
    for (int index = 0; index < parent.count; ++index) {
        const TrackedColumn &column = parent.columns[index];
        if (!column.is_key)
            continue;
        int place = 0;
        while (place < constraint.nkeys && constraint.confkey[place] != column.number)
            ++place;
        if (place == constraint.nkeys || parameters->params[first + place].isnull)
            return nullptr;
        fields[count].name = column.name;
        set_value(fields[count++], column.form, parameters->params[first + place].value);
    }
    return make_object(fields, count);
}

} // namespace

void find_parent_row(Frame *frame, const QueryDesc *query) {
    const Oid child_table = written_table(query);
    const char *where = query->sourceText != nullptr ? strstr(query->sourceText, " WHERE ") : nullptr;
    if (!OidIsValid(child_table) || where == nullptr || query->params == nullptr)
        return;
    const Relation child = table_open(child_table, NoLock); // the executor has locked it
    if (const ForeignKeyCacheInfo *constraint = find_constraint(child, where); constraint != nullptr) {
        const char *name = get_constraint_name(constraint->conoid);
        frame->foreign_key = name != nullptr ? MemoryContextStrdup(TopTransactionContext, name) : nullptr;
        const TrackedTable &parent = *tracked_table(constraint->confrelid);
        if (parent.is_tracked) {
            // ON UPDATE CASCADE has the new key first, and the row's version is found under that.
            const Jsonb *key = parent_key(parent, *constraint, query->params, 0);
            if (key != nullptr && frame->within != nullptr)
                activity_of(frame->within); // it comes before the versions that it writes
            if (key != nullptr)
                frame->started_by = reserve_version(parent.number, key_hash(parent, key));
            frame->recorded_in = transaction_serial();
        }
    }
    table_close(child, NoLock);
}

} // namespace dbnet::provenance
