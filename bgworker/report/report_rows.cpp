// Implementation of report_rows.hpp. Runs in the mirror worker.
//
// Locks: rows are locked with SKIP LOCKED only, and whatever else has to be waited for (the table, a unique key in the
// making, locks that a trigger takes) is waited for no longer than dbnet.report_lock_timeout, far below any sensible
// deadlock_timeout. So it is always the worker that gives way, never a user's session.
#include "bgworker/report/report_rows.hpp"

#include "bgworker/report/report_sql.hpp"
#include "capture/capture.hpp"
#include "mirror/store/table_lock.hpp"
#include "mirror/values/row_form.hpp"
#include "pg/as_role.hpp"
#include "pg/deadline.hpp"
#include "pg/report_scope.hpp"
#include "pg/spi.hpp"
#include "settings.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

extern "C" {
#include "utils/elog.h"
}

namespace dbnet::bgworker {

namespace {

using Kind = RowResult::Kind;
using Clock = std::chrono::steady_clock;
using mirror::Json;
using mirror::Merge;
using mirror::Mirror;

const pg::Statement set_replication_role{"SELECT pg_catalog.set_config('session_replication_role', $1, true)"};

// Keys of rows that a user deleted and whose deletion is still on its way to the server.
const pg::Statement select_tombstones{
    "SELECT DISTINCT k.position FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4))"
    " WITH ORDINALITY AS k(namespace, name, uid, position)"
    " JOIN dbnet.tombstone AS t ON t.relation = $1::regclass AND t.namespace = k.namespace AND t.name = k.name"
    " AND (t.uid IS NULL OR t.uid = k.uid)"};
const pg::Statement delete_tombstones{"DELETE FROM dbnet.tombstone WHERE relation = $1::regclass AND namespace = $2"
                                      " AND name = $3"};

// Foreign keys are triggers too. A row that is written without them could break a reference, and with it the next
// restore of a dump: so tables in such relations are never written without triggers.
const pg::Statement select_foreign_keys{
    "SELECT pg_catalog.bool_or(conrelid = $1 AND ($2 OR c.columns && $3)), pg_catalog.bool_or(confrelid = $1)"
    " FROM pg_catalog.pg_constraint, LATERAL (SELECT pg_catalog.array_agg(attname::text) AS columns"
    " FROM pg_catalog.pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)) AS c"
    " WHERE contype = 'f' AND (conrelid = $1 OR confrelid = $1)"};

bool is_lock_failure(int sqlstate) {
    return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED ||
           sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE;
}

std::string described(const pg::pg_error &error) {
    return error.message() + (error.detail().empty() ? "" : " (" + error.detail() + ")");
}

// A trigger left the row out without an error.
struct LeftOut {};

class RowReport {
public:
    RowReport(const Mirror &mirror, std::span<const RowJob> jobs, RowPace &pace)
        : mirror_(mirror), jobs_(jobs), pace_(pace), results_(jobs.size()) {}

    std::vector<RowResult> run();

private:
    // A row to be written.
    struct Write {
        enum class Kind { insert, update, remove } kind = Kind::update;
        size_t job = 0;
        std::vector<WrittenColumn> columns;
        Json record; // key and values in row form
    };
    using Rows = std::map<size_t, Json>; // by job

    // The newest call for the object of each row of a statement, where there was one.
    class Causes final : public pg::ReportCauses {
    public:
        Causes(const Mirror &mirror, std::span<const RowJob> jobs, std::span<const Write> group)
            : has_namespace_(!mirror.namespace_column.empty()) {
            for (const Write &write : group)
                if (const RowJob &job = jobs[write.job]; job.last_actuation != 0)
                    calls_[{has_namespace_ ? std::string_view(job.key.name_space) : std::string_view(), job.key.name}] =
                        job.last_actuation;
        }
        std::int64_t of(std::string_view name_space, std::string_view name) const noexcept override {
            const auto found = calls_.find({has_namespace_ ? name_space : std::string_view(), name});
            return found == calls_.end() ? 0 : found->second;
        }

    private:
        bool has_namespace_;
        std::map<std::pair<std::string_view, std::string_view>, int64_t> calls_; // texts are the jobs'
    };

    Rows read(const std::vector<size_t> &jobs, RowLock lock);
    std::vector<size_t> jobs_of(bool removing) const;
    bool removes(const RowJob &job) const {
        return job.kind == RowJob::Kind::remove || (job.kind == RowJob::Kind::restore && !job.exists);
    }
    void plan_missing(const std::vector<size_t> &jobs);
    void plan_update(size_t job, const Json &row);
    void plan_remove(size_t job, const Json &row);
    void plan(Write::Kind kind, size_t job, const Merge &merge);

    // At least one row is written by a call, whatever the time: a queue must not stand still.
    bool is_late() const { return has_written_ && Clock::now() > pace_.until; }
    static std::chrono::milliseconds statement_time() {
        return std::chrono::milliseconds(settings::report_statement_timeout);
    }

    void write_group(std::span<const Write> group);
    bool try_together(std::span<const Write> group);
    void write_apart(std::span<const Write> group);
    void write_single(const Write &write);
    void write_insert_again(const Write &write);
    void run_statement(std::span<const Write> group, bool skip_conflicts);
    void take_written(std::span<const Write> group, const pg::Result &written);
    void after_failure(const Write &write, const pg::pg_error &error);
    void without_triggers(const Write &write, const std::string &message, const std::string &sqlstate);
    bool can_skip_triggers(const Write &write);
    std::string key_text(const Write &write) const { return jobs_[write.job].key.text(); }

    template<class F> auto as_owner(F &&f) {
        pg::Deadline deadline(settings::report_statement_timeout);
        return pg::as_owner(mirror_.owner, f);
    }

    const Mirror &mirror_;
    std::span<const RowJob> jobs_;
    RowPace &pace_;
    std::vector<RowResult> results_;
    std::vector<Write> writes_;
    std::set<std::string> not_null_;
    bool has_written_ = false; // or tried to, a row by itself
};

std::vector<size_t> RowReport::jobs_of(bool removing) const {
    std::vector<size_t> result;
    for (size_t i = 0; i < jobs_.size(); i++)
        if (removes(jobs_[i]) == removing)
            result.push_back(i);
    return result;
}

// Reading ------------------------------------------------------------------------------------------------------------

struct KeyArrays {
    std::vector<std::string> name_spaces, names, uids;
};

KeyArrays key_arrays(std::span<const RowJob> jobs, const std::vector<size_t> &chosen) {
    KeyArrays keys;
    for (size_t job : chosen) {
        keys.name_spaces.push_back(jobs[job].key.name_space);
        keys.names.push_back(jobs[job].key.name);
        keys.uids.push_back(jobs[job].uid);
    }
    return keys;
}

RowReport::Rows RowReport::read(const std::vector<size_t> &jobs, RowLock lock) {
    Rows found;
    if (jobs.empty())
        return found;
    KeyArrays keys = key_arrays(jobs_, jobs);
    const pg::Argument arguments[] = {keys.name_spaces, keys.names};
    pg::Result rows = as_owner(
        [&] { return pg::execute_once(select_rows(mirror_, lock), std::span<const pg::Argument>(arguments)); });
    for (size_t row = 0; row < rows.rows(); row++)
        found[jobs[rows.integer(row, 0) - 1]] = Json::parse(rows.text(row, 1), nullptr, false);
    return found;
}

// Planning -----------------------------------------------------------------------------------------------------------

void RowReport::plan(Write::Kind kind, size_t job, const Merge &merge) {
    const mirror::Key &key = jobs_[job].key;
    Write write{kind, job, {}, Json::object()};
    write.record[mirror_.name_column] = key.name;
    if (!mirror_.namespace_column.empty())
        write.record[mirror_.namespace_column] = key.name_space;
    std::set<const mirror::Column *> set;
    for (const auto &[column, value] : merge.set) {
        set.insert(column);
        bool is_default = value.is_null() && not_null_.count(column->name);
        write.columns.push_back({column, is_default});
        if (!is_default)
            write.record[column->name] = to_row_form(*column, value);
    }
    // A default of the table must not look like a value that a user gave.
    if (kind == Write::Kind::insert)
        for (const mirror::Column &column : mirror_.mapping.columns)
            if (column.role != mirror::Role::key && !set.count(&column))
                write.columns.push_back({&column, not_null_.count(column.name) > 0});
    std::sort(write.columns.begin(), write.columns.end());
    writes_.push_back(std::move(write));
}

void RowReport::plan_update(size_t job, const Json &row) {
    Merge merge = jobs_[job].kind == RowJob::Kind::restore
                      ? mirror::restore(mirror_, jobs_[job].object, row, jobs_[job].rejected.get())
                      : mirror::merge(mirror_, jobs_[job].object, row);
    if (!merge.set.empty())
        plan(Write::Kind::update, job, merge);
    results_[job].merge = std::move(merge);
}

void RowReport::plan_remove(size_t job, const Json &row) {
    if (jobs_[job].kind == RowJob::Kind::remove && mirror::has_unsent_change(mirror_, jobs_[job].object.base, row))
        return;
    plan(Write::Kind::remove, job, {});
}

// Jobs whose row was not locked: somebody else holds it, or there is none.
void RowReport::plan_missing(const std::vector<size_t> &jobs) {
    if (jobs.empty())
        return;
    Rows present = read(jobs, RowLock::none);
    std::vector<size_t> absent;
    for (size_t job : jobs) {
        if (present.count(job))
            results_[job].kind = Kind::locked;
        else if (removes(jobs_[job]))
            results_[job].row_is_gone = true;
        else if (jobs_[job].kind == RowJob::Kind::restore)
            plan(Write::Kind::insert, job, results_[job].merge = mirror::merge_new(mirror_, jobs_[job].object));
        else
            absent.push_back(job);
    }
    if (absent.empty())
        return;
    KeyArrays keys = key_arrays(jobs_, absent);
    pg::Result deleted = pg::execute(select_tombstones, Oid{mirror_.relation}, keys.name_spaces, keys.names, keys.uids);
    std::set<size_t> by_user;
    for (size_t row = 0; row < deleted.rows(); row++)
        by_user.insert(absent[deleted.integer(row, 0) - 1]);
    for (size_t job : absent)
        if (!by_user.count(job))
            plan(Write::Kind::insert, job, results_[job].merge = mirror::merge_new(mirror_, jobs_[job].object));
}

// Writing ------------------------------------------------------------------------------------------------------------

// Writes rows of one kind and one set of columns by one statement; throws when not every row was written.
void RowReport::run_statement(std::span<const Write> group, bool skip_conflicts) {
    const Write &first = group.front();
    std::string values;
    KeyArrays keys;
    for (const Write &write : group) {
        (values += values.empty() ? "[" : ",") += write.record.dump();
        keys.name_spaces.push_back(jobs_[write.job].key.name_space);
        keys.names.push_back(jobs_[write.job].key.name);
    }
    values += "]";
    std::vector<pg::Argument> arguments;
    std::string sql;
    if (first.kind == Write::Kind::remove) {
        sql = delete_rows(mirror_);
        arguments = {keys.name_spaces, keys.names};
    } else {
        sql = first.kind == Write::Kind::insert ? insert_rows(mirror_, first.columns, skip_conflicts)
                                                : update_rows(mirror_, first.columns);
        arguments = {values};
    }
    const Causes causes(mirror_, jobs_, group);
    as_owner([&] {
        const auto written = [&] {
            const pg::ReportScope scope(mirror_.relation, pg::ReportKind::change, &causes);
            return pg::execute_once(sql, arguments);
        }();
        take_written(group, written);
    });
}

// As the owner, who is on record for what a trigger made of a row.
void RowReport::take_written(std::span<const Write> group, const pg::Result &written) {
    if (written.rows() != group.size())
        throw LeftOut{};
    std::map<std::pair<std::string, std::string>, size_t> by_key;
    for (size_t row = 0; row < written.rows(); row++)
        by_key[{mirror_.namespace_column.empty() ? "" : std::string(written.text(row, 0)),
                std::string(written.text(row, 1))}] = row;
    for (const Write &write : group) {
        const mirror::Key &key = jobs_[write.job].key;
        auto row = by_key.find({mirror_.namespace_column.empty() ? "" : key.name_space, key.name});
        if (row == by_key.end())
            throw LeftOut{}; // a trigger gave it another key
        RowResult &result = results_[write.job];
        result.row_is_gone = write.kind == Write::Kind::remove;
        result.kind = Kind::done;
        if (result.row_is_gone)
            continue;
        // What a default gave is what the row and the report agree on.
        Json values_now = Json::parse(written.text(row->second, 2), nullptr, false);
        for (const auto &[column, is_default] : write.columns) {
            if (!is_default)
                continue;
            auto converted = mirror::to_object_form(*column, values_now[column->name]);
            if (auto *value = std::get_if<std::optional<Json>>(&converted); value && *value)
                result.merge.base[column->path] = **value;
        }
        // The capture trigger leaves a report's own statement out. What a trigger made of the row is a change, though.
        if (mirror::has_unsent_change(mirror_, result.merge.base, values_now))
            capture::record_change(mirror_.relation, 'U', key.name_space, key.name);
    }
}

bool RowReport::try_together(std::span<const Write> group) {
    const auto begun = Clock::now();
    try {
        pg::in_subtransaction([&] { run_statement(group, true); });
        has_written_ = true;
        // Far from the time limit: as many again.
        if (group.size() >= pace_.together && Clock::now() - begun < statement_time() / 4)
            pace_.together = std::min(2 * pace_.together, RowPace::most_together);
        return true;
    } catch (const pg::pg_error &error) {
        if (error.sqlstate() == ERRCODE_QUERY_CANCELED) {
            pace_.together = std::max<size_t>(group.size() / 4, 1);
            has_written_ = true; // users wait for the locks: the rest in the next turn, in smaller groups
        }
    } catch (const LeftOut &) {
    }
    return false;
}

// Rows that could not be written together: halves them until those that are to blame are in small company, which is
// then written one by one.
void RowReport::write_apart(std::span<const Write> group) {
    constexpr size_t small = 8;
    if (group.size() > small && !pace_.skip_triggers && !is_late()) {
        for (std::span<const Write> half : {group.first(group.size() / 2), group.subspan(group.size() / 2)})
            if (is_late() || !try_together(half))
                write_apart(half);
        return;
    }
    for (const Write &write : group) {
        if (is_late()) {
            results_[write.job].kind = Kind::postponed;
            continue;
        }
        write_single(write);
        has_written_ = true;
    }
}

void RowReport::write_group(std::span<const Write> group) {
    while (!group.empty()) {
        const std::span<const Write> part = group.first(std::min(group.size(), pace_.together));
        group = group.subspan(part.size());
        const bool is_alone = part.size() == 1 || pace_.skip_triggers || is_late();
        if (is_alone || !try_together(part))
            write_apart(part);
    }
}

void RowReport::write_single(const Write &write) {
    if (pace_.skip_triggers && can_skip_triggers(write)) {
        without_triggers(
            write, "the table's triggers were left out: they take longer than dbnet.report_statement_timeout", "57014");
        return;
    }
    try {
        pg::in_subtransaction([&] { run_statement({&write, 1}, true); });
    } catch (const LeftOut &) {
        if (write.kind == Write::Kind::insert)
            write_insert_again(write);
        else
            without_triggers(write, "a trigger of the table left the row out", "39000");
    } catch (const pg::pg_error &error) {
        after_failure(write, error);
    }
}

void RowReport::after_failure(const Write &write, const pg::pg_error &error) {
    if (is_lock_failure(error.sqlstate())) {
        results_[write.job].kind = Kind::locked;
        return;
    }
    if (error.sqlstate() == ERRCODE_QUERY_CANCELED && ++pace_.slow_rows >= 3)
        pace_.skip_triggers = true;
    without_triggers(write, described(error), sqlstate_text(error.sqlstate()));
}

// An INSERT that inserted nothing: a session was faster with the same key, another unique constraint is in the way, or
// a trigger left it out.
void RowReport::write_insert_again(const Write &write) {
    if (!read({write.job}, RowLock::none).empty()) {
        results_[write.job].kind = Kind::locked;
        return;
    }
    try {
        pg::in_subtransaction([&] { run_statement({&write, 1}, false); });
    } catch (const LeftOut &) {
        without_triggers(write, "a trigger of the table left the row out", "39000");
    } catch (const pg::pg_error &error) {
        after_failure(write, error);
    }
}

// The last resort before the row is given up: without triggers, except those that are ENABLE ALWAYS (capture).
void RowReport::without_triggers(const Write &write, const std::string &message, const std::string &sqlstate) {
    RowResult &result = results_[write.job];
    result.sqlstate = sqlstate;
    result.message = message;
    result.kind = Kind::failed;
    if (!can_skip_triggers(write))
        return;
    try {
        pg::in_subtransaction([&] {
            pg::execute(set_replication_role, "replica");
            run_statement({&write, 1}, true);
            pg::execute(set_replication_role, "origin");
        });
        result.message = "written without the table's triggers: " + message;
    } catch (const LeftOut &) {
    } catch (const pg::pg_error &error) {
        result.kind = is_lock_failure(error.sqlstate()) ? Kind::locked : Kind::failed;
    }
}

bool RowReport::can_skip_triggers(const Write &write) {
    std::vector<std::string> columns;
    for (const WrittenColumn &written : write.columns)
        columns.push_back(written.column->name);
    pg::Result keys =
        pg::execute(select_foreign_keys, Oid{mirror_.relation}, write.kind == Write::Kind::insert, columns);
    bool refers = keys.boolean(0, 0), is_referred_to = keys.boolean(0, 1);
    return write.kind == Write::Kind::remove ? !is_referred_to : !refers;
}

std::vector<RowResult> RowReport::run() {
    mirror::lock_table(mirror_, true);
    not_null_ = mirror::not_null_columns(mirror_);

    std::vector<size_t> missing;
    for (bool removing : {false, true}) {
        std::vector<size_t> jobs = jobs_of(removing);
        Rows rows = read(jobs, removing ? RowLock::remove : RowLock::update);
        for (size_t job : jobs) {
            auto row = rows.find(job);
            if (row == rows.end())
                missing.push_back(job);
            else if (row->second.is_discarded()) // jsonb holds numbers that no double does
                results_[job] = {
                    Kind::failed, "a mapped column holds a number beyond double precision", "22003", {}, false};
            else if (removing)
                plan_remove(job, row->second);
            else
                plan_update(job, row->second);
        }
    }
    plan_missing(missing);

    std::map<std::pair<Write::Kind, std::vector<WrittenColumn>>, std::vector<Write>> groups;
    for (Write &write : writes_)
        groups[{write.kind, write.columns}].push_back(std::move(write));
    for (auto &[shape, group] : groups)
        write_group(group);

    for (size_t job = 0; job < jobs_.size(); job++)
        if (jobs_[job].kind == RowJob::Kind::restore &&
            (results_[job].kind == Kind::done || results_[job].kind == Kind::untouched))
            pg::execute(delete_tombstones, Oid{mirror_.relation}, jobs_[job].key.name_space, jobs_[job].key.name);
    return std::move(results_);
}

} // namespace

std::string sqlstate_text(int sqlstate) {
    std::string text;
    for (int i = 0; i < 5; i++, sqlstate >>= 6)
        text += static_cast<char>((sqlstate & 0x3F) + '0');
    return text;
}

std::vector<RowResult> write_rows(const Mirror &mirror, std::span<const RowJob> jobs, RowPace &pace) {
    return RowReport(mirror, jobs, pace).run();
}

} // namespace dbnet::bgworker
