// The one place that knows which PostgreSQL version this is (15 to 18), and the one way to include postgres.h.
// Every file that touches PostgreSQL includes this (or a header that does) before its own `extern "C" { #include … }`.
#pragma once

// Before postgres.h, which renames the printf family by macros.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

extern "C" {
#include "postgres.h"

#include "access/xlog.h"
#include "access/xlogreader.h"
#include "access/xlogutils.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "replication/message.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#if PG_VERSION_NUM >= 180000
#include "rewrite/rewriteHandler.h"
#endif
}

// Macros of PostgreSQL that break C++ libraries included later.
#undef _
#undef gettext
#undef dgettext
#undef ngettext
#undef dngettext
#undef printf
#undef fprintf
#undef sprintf
#undef snprintf
#undef vprintf
#undef vfprintf
#undef vsprintf
#undef vsnprintf
#undef strerror
#undef strerror_r
#undef Min
#undef Max
#undef Abs

// Empty before 16 on Linux, but we compile with -fvisibility=hidden.
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))

static_assert(PG_VERSION_NUM >= 150000 && PG_VERSION_NUM < 190000, "DBNet supports PostgreSQL 15 to 18");

// Of ExecutorRun and its hook: 18 has no fourth one. A scan of an index: 18 can count what it does.
#if PG_VERSION_NUM >= 180000
#define DBNET_EXECUTOR_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count
#define DBNET_EXECUTOR_RUN_ARGUMENTS query, direction, count
#define DBNET_BEGIN_INDEX_SCAN(table, index, snapshot, keys) index_beginscan(table, index, snapshot, nullptr, keys, 0)
#else
#define DBNET_EXECUTOR_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once
#define DBNET_EXECUTOR_RUN_ARGUMENTS query, direction, count, execute_once
#define DBNET_BEGIN_INDEX_SCAN(table, index, snapshot, keys) index_beginscan(table, index, snapshot, keys, 0)
#endif

// The type of the last argument of table_tuple_update: which indexes need the new version, all, none or, since 16,
// those that are summaries; and ExecInsertIndexTuples of a row that the heap has just taken, into indexes whose checks
// are immediate. What an index keeps between insertions is let go of, since 17, by index_insert_cleanup.
#if PG_VERSION_NUM >= 160000
#define DBNET_INDEXES_TO_UPDATE TU_UpdateIndexes
#define DBNET_NO_INDEX_TO_UPDATE TU_None
#define DBNET_ALL_INDEXES_TO_UPDATE TU_All
#define DBNET_INSERT_INTO_INDEXES(table, row, state, indexes)                                                          \
    ExecInsertIndexTuples(table, row, state, false, false, nullptr, nullptr, (indexes) == TU_Summarizing)
#else
#define DBNET_INDEXES_TO_UPDATE bool
#define DBNET_NO_INDEX_TO_UPDATE false
#define DBNET_ALL_INDEXES_TO_UPDATE true
#define DBNET_INSERT_INTO_INDEXES(table, row, state, indexes)                                                          \
    ExecInsertIndexTuples(table, row, state, false, false, nullptr, nullptr)
#endif
#if PG_VERSION_NUM >= 170000
#define DBNET_END_INDEX_INSERTIONS(index, info) index_insert_cleanup(index, info)
#else
#define DBNET_END_INDEX_INSERTIONS(index, info) static_cast<void>(info)
#endif

// The last leaf of a btree, locked to be read; InvalidBuffer: it is empty. Of access/nbtree.h; 17 lost the snapshot.
#if PG_VERSION_NUM >= 170000
#define DBNET_LAST_LEAF(index) _bt_get_endpoint(index, 0, true)
#else
#define DBNET_LAST_LEAF(index) _bt_get_endpoint(index, 0, true, nullptr)
#endif

namespace dbnet::pg::compat {

// Whether a row may go into a table that can have values out of line only while there is a snapshot (18 asserts it). To
// remove one wants a snapshot in every version.
constexpr bool inserting_wants_snapshot = PG_VERSION_NUM >= 180000;

// Writes a transactional WAL message under the top transaction; 17 added the flush argument.
inline XLogRecPtr log_logical_message(const char *prefix, const char *bytes, size_t size) {
#if PG_VERSION_NUM >= 170000
    return LogLogicalMessage(prefix, bytes, size, true, false);
#else
    return LogLogicalMessage(prefix, bytes, size, true);
#endif
}

// A reader of this server's own WAL that returns, not waits, at its end. XL_ROUTINE() does not compile in C++.
inline XLogReaderRoutine local_wal_reader() {
    XLogReaderRoutine routine{};
    routine.page_read = read_local_xlog_page_no_wait;
    routine.segment_open = wal_segment_open;
    routine.segment_close = wal_segment_close;
    return routine;
}

// Index of this process in ProcGlobal->allProcs.
inline int my_process_number() {
#if PG_VERSION_NUM >= 170000
    return MyProcNumber;
#else
    return MyProc->pgprocno;
#endif
}

// A generated column that is computed when it is read (18): no row holds a value of it.
inline bool is_virtual([[maybe_unused]] const FormData_pg_attribute &column) {
#if PG_VERSION_NUM >= 180000
    return column.attgenerated == ATTRIBUTE_GENERATED_VIRTUAL;
#else
    return false;
#endif
}

// expression_tree_walker(), whose declaration says nothing of the function's arguments before 16.
inline bool walk_expression(Node *node, bool (*f)(Node *, void *), void *context) {
#if PG_VERSION_NUM >= 160000
    return expression_tree_walker_impl(node, f, context);
#else
    return expression_tree_walker(node, reinterpret_cast<bool (*)()>(reinterpret_cast<void (*)()>(f)), context);
#endif
}

// JSON_OBJECT() and the like (16), JSON_VALUE() and the like (17).
inline bool makes_json([[maybe_unused]] const Node *node) {
#if PG_VERSION_NUM >= 170000
    return IsA(node, JsonConstructorExpr) || IsA(node, JsonExpr);
#elif PG_VERSION_NUM >= 160000
    return IsA(node, JsonConstructorExpr);
#else
    return false;
#endif
}

// With virtual columns (18) replaced by their expressions: no row holds them.
inline Node *with_virtual_columns([[maybe_unused]] Relation relation, [[maybe_unused]] int variable, Node *expression) {
#if PG_VERSION_NUM >= 180000
    return expand_generated_columns_in_expr(expression, relation, variable);
#else
    return expression;
#endif
}

// Whether this server, at run time, takes it well that the map of free space names a page which a crash has taken away:
// 15.7, 16.3 and all later ones do, others raise "could not read block".
inline bool expects_lost_pages() {
    const int version = std::atoi(GetConfigOption("server_version_num", false, false));
    return version >= 160003 || (version >= 150007 && version < 160000);
}

// Pages that a table or an index was extended by.
struct Pages {
    BlockNumber first, end;
};

// Extends a table or an index by pages of zeros, each of which `prepare` gets pinned, and lets go of. 16 can add many
// at once, and may add fewer than are asked for.
template<class F> Pages add_pages(Relation relation, uint32 count, F prepare) {
#if PG_VERSION_NUM >= 160000
    constexpr uint32 most = 64;
    Buffer buffers[most];
    uint32 added = 0;
    BufferManagerRelation extended{};
    extended.rel = relation;
    const BlockNumber first =
        ExtendBufferedRelBy(extended, MAIN_FORKNUM, nullptr, 0, count < most ? count : most, buffers, &added);
    for (uint32 place = 0; place < added; ++place)
        prepare(buffers[place]);
    return {first, first + added};
#else
    LockRelationForExtension(relation, ExclusiveLock);
    const BlockNumber first = RelationGetNumberOfBlocks(relation);
    for (uint32 place = 0; place < count; ++place)
        prepare(ReadBufferExtended(relation, MAIN_FORKNUM, P_NEW, RBM_NORMAL, nullptr));
    const BlockNumber end = RelationGetNumberOfBlocks(relation);
    UnlockRelationForExtension(relation, ExclusiveLock);
    return {first, end};
#endif
}

inline bool owns_database(Oid database, Oid role) {
#if PG_VERSION_NUM >= 160000
    return object_ownercheck(DatabaseRelationId, database, role);
#else
    return pg_database_ownercheck(database, role);
#endif
}

inline bool owns_relation(Oid relation, Oid role) {
#if PG_VERSION_NUM >= 160000
    return object_ownercheck(RelationRelationId, relation, role);
#else
    return pg_class_ownercheck(relation, role);
#endif
}

} // namespace dbnet::pg::compat
