// Implementation of merge.hpp. Runs in the mirror worker.
#include "mirror/decision/merge.hpp"

#include <algorithm>

namespace dbnet::mirror {

namespace {

// A row value in object form. `readable` is false when it has none: a user wrote it, so it is the user's.
struct RowValue {
    bool readable = true;
    std::optional<Json> value;
    const Json *get() const { return value ? &*value : nullptr; }
};

RowValue row_value(const Column &column, const Row &row) {
    RowValue result;
    auto found = row.find(column.name);
    if (found == row.end() || found->is_null())
        return result;
    auto converted = to_object_form(column, *found);
    if (auto *value = std::get_if<std::optional<Json>>(&converted))
        result.value = std::move(*value);
    else
        result.readable = false;
    return result;
}

// Servers leave out false, 0, "" and empty collections, so these mean the same as nothing: a boolean column that is NOT
// NULL DEFAULT false says nothing that its object does not say.
bool alike(const Column &column, const Json *left, const Json *right) {
    if (!left || !right) {
        const Json *present = left ? left : right;
        return !present || has_effect(column, present, nullptr);
    }
    return same_value(column, left, right);
}

bool alike(const Column &column, const RowValue &row, const Json *value) {
    return row.readable && alike(column, row.get(), value);
}

// The user's own: not what was last agreed on. NULL is no opinion.
bool is_users(const Column &column, const RowValue &row, const Json *base) {
    return !row.readable || (row.value && !alike(column, row.get(), base));
}

void assign(Fields &fields, const std::string &path, const Json *value) {
    if (value)
        fields[path] = *value;
    else
        fields.erase(path);
}

bool follows_others(const Mirror &mirror, const ReportedObject &object, const Column &column) {
    const Json *applied = find_field(object.applied, column.path);
    return lets_others_win(on_drift_of(mirror, column)) && applied &&
           !has_effect(column, applied, find_field(object.live, column.path));
}

// The key's own path stands for the row as a whole.
void mark_reported(const Mapping &mapping, Merge &result) {
    for (const Column &column : mapping.columns)
        if (column.role == Role::key && result.base.emplace(column.path, true).second)
            result.base_changed = true;
}

class ColumnMerge {
public:
    ColumnMerge(const Mirror &mirror, const ReportedObject &object, Merge &result)
        : mirror_(mirror), object_(object), reported_(is_reported(mirror.mapping, object.base)), result_(result) {}

    // A user cannot write it, so what was reported is what is there; only the first report has to look.
    void status(const Column &column, const RowValue &row) {
        if (!reported_ || !alike(column, base(column), live(column)))
            take(column, row);
    }

    void wanted(const Column &column, const RowValue &row) {
        bool users = is_users(column, row, base(column));
        if (object_.claimed.count(column.path)) {
            if (users || !follows_others(mirror_, object_, column))
                return;
            result_.released.insert(column.path);
            take(column, row);
        } else if (!users || (!reported_ && mirror_.initial == Initial::pull)) {
            take(column, row);
        } else if (!reported_ && mirror_.initial != Initial::push && alike(column, row, live(column))) {
            agree(column, row.get()); // else every value of the row is a claim
        }
    }

private:
    const Json *live(const Column &column) const { return find_field(object_.live, column.path); }
    const Json *base(const Column &column) const { return find_field(object_.base, column.path); }

    void take(const Column &column, const RowValue &row) {
        if (alike(column, row, live(column))) {
            agree(column, row.get());
            return;
        }
        result_.set.push_back({&column, live(column) ? *live(column) : Json()});
        agree(column, live(column));
    }

    // The base holds what the row holds, so that an equal row is never taken for a change.
    void agree(const Column &column, const Json *value) {
        if (same_value(column, base(column), value))
            return;
        assign(result_.base, column.path, value);
        result_.base_changed = true;
    }

    const Mirror &mirror_;
    const ReportedObject &object_;
    bool reported_;
    Merge &result_;
};

} // namespace

OnDrift on_drift_of(const Mirror &mirror, const Column &column) {
    return column.on_drift.value_or(mirror.settings.on_drift);
}

bool is_reported(const Mapping &mapping, const Fields &base) {
    for (const Column &column : mapping.columns)
        if (column.role == Role::key && !base.count(column.path))
            return false;
    return true;
}

bool is_import_under_way(const Mapping &mapping, const ObjectRecord &object) {
    return object.exists() && !is_reported(mapping, object.base);
}

Merge merge(const Mirror &mirror, const ReportedObject &object, const Row &row) {
    Merge result;
    result.base = object.base;
    ColumnMerge columns(mirror, object, result);
    for (const Column &column : mirror.mapping.columns) {
        if (column.role == Role::status)
            columns.status(column, row_value(column, row));
        else if (column.role != Role::key)
            columns.wanted(column, row_value(column, row));
    }
    mark_reported(mirror.mapping, result);
    return result;
}

Merge merge_new(const Mirror &mirror, const ReportedObject &object) {
    Merge result;
    result.base_changed = true;
    for (const Column &column : mirror.mapping.columns) {
        const Json *live = find_field(object.live, column.path);
        if (column.role == Role::key || !live)
            continue;
        result.set.push_back({&column, *live});
        result.base[column.path] = *live;
    }
    mark_reported(mirror.mapping, result);
    return result;
}

Merge restore(const Mirror &mirror, const ReportedObject &object, const Row &row, const RowDigest *rejected) {
    Merge result;
    result.base = object.base;
    result.base_changed = true;
    const RowFields asked = rejected ? mirror.mapping.to_object_form(row) : RowFields();
    for (const Column &column : mirror.mapping.columns) {
        if (column.role == Role::key || (rejected && !rejected->holds_still(column, asked)))
            continue;
        const Json *applied = object.claimed.count(column.path) ? find_field(object.applied, column.path) : nullptr;
        const Json *live = find_field(object.live, column.path);
        const bool is_enforced = applied && live && on_drift_of(mirror, column) == OnDrift::enforce;
        if (is_enforced && !has_effect(column, applied, live))
            applied = &(result.accepted[column.path] = *live);
        const Json *target = applied ? applied : live;
        RowValue value = row_value(column, row);
        bool is_there = alike(column, value, target);
        if (!is_there)
            result.set.push_back({&column, target ? *target : Json()});
        assign(result.base, column.path, is_there ? value.get() : target);
    }
    mark_reported(mirror.mapping, result);
    return result;
}

bool needs_report(const Mirror &mirror, const ReportedObject &object) {
    if (!is_reported(mirror.mapping, object.base))
        return true;
    for (const Column &column : mirror.mapping.columns) {
        if (column.role == Role::key)
            continue;
        bool differs = object.claimed.count(column.path)
                           ? follows_others(mirror, object, column)
                           : !alike(column, find_field(object.base, column.path), find_field(object.live, column.path));
        if (differs)
            return true;
    }
    return false;
}

bool has_unsent_change(const Mirror &mirror, const Fields &base, const Row &row) {
    for (const Column &column : mirror.mapping.columns) {
        if (column.role != Role::spec && column.role != Role::meta)
            continue;
        if (is_users(column, row_value(column, row), find_field(base, column.path)))
            return true;
    }
    return false;
}

std::vector<const Column *> drifted(const Mirror &mirror, const ReportedObject &object) {
    std::vector<const Column *> columns;
    for (const Column &column : mirror.mapping.columns) {
        const Json *applied = find_field(object.applied, column.path);
        if (applied && object.claimed.count(column.path) && !lets_others_win(on_drift_of(mirror, column)) &&
            !has_effect(column, applied, find_field(object.live, column.path)))
            columns.push_back(&column);
    }
    return columns;
}

bool has_shared_seed(const Mirror &mirror, const std::set<std::string> &claimed, const Json &managers) {
    return std::ranges::any_of(mirror.mapping.columns, [&](const Column &column) {
        if (on_drift_of(mirror, column) != OnDrift::seed || !claimed.contains(column.path))
            return false;
        const auto found = managers.find(column.path);
        return found != managers.end() && found->size() > 2;
    });
}

} // namespace dbnet::mirror

#include "pg/no_postgres.hpp"
