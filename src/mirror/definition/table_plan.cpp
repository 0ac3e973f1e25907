// Names, types and comments of generated tables (see table_plan.hpp). Backends.
#include "mirror/definition/table_plan.hpp"

#include "mirror/definition/column_map.hpp"
#include "mirror/values/secret_values.hpp"

#include <algorithm>
#include <array>
#include <set>

#include <nlohmann/json.hpp>

namespace dbnet::mirror {
namespace {

using kubernetes::FieldPath;
using kubernetes::FieldSchema;

constexpr size_t longest_name = 63; // bytes, NAMEDATALEN - 1
constexpr size_t comment_bytes = 240;

std::string sql_type(const FieldSchema &field) {
    using Type = FieldSchema::Type;
    switch (field.type) {
    case Type::string:
        if (field.format == "date-time")
            return "pg_catalog.timestamptz(0)"; // the server keeps whole seconds
        if (field.format == "micro-time")
            return "pg_catalog.timestamptz";
        return field.format == "byte" ? "pg_catalog.bytea" : "pg_catalog.text";
    case Type::quantity:
        return "pg_catalog.text";
    case Type::integer:
        return field.format == "int32" ? "pg_catalog.int4" : "pg_catalog.int8";
    case Type::number:
        return "pg_catalog.float8";
    case Type::boolean:
        return "pg_catalog.bool";
    case Type::int_or_string: // 80 and "80" are two values
    case Type::any:
    case Type::object:
    case Type::array:
        break;
    }
    return "pg_catalog.jsonb";
}

size_t character_start(std::string_view text, size_t at) {
    while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80)
        at--;
    return at;
}

// FNV-1a: the same for ever and everywhere.
std::string hash_text(std::string_view text) {
    uint32_t hash = 2166136261u;
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
    static constexpr char digits[] = "0123456789abcdef";
    std::string result;
    for (int shift = 28; shift >= 0; shift -= 4)
        result += digits[hash >> shift & 15];
    return result;
}

// A name with the hash of its path in place of what is too much.
std::string hashed(std::string_view name, std::string_view path) {
    const std::string hash = "_" + hash_text(path);
    return std::string(name.substr(0, character_start(name, std::min(name.size(), longest_name - hash.size())))) + hash;
}

class Planner {
public:
    explicit Planner(const PlanQuestion &question) : question_(question), schema_(*question.schema) {}

    TablePlan plan() {
        // A spec's field of one of these names is the one that steps aside.
        used_ = {"namespace", "name", "labels", "annotations", "tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"};
        if (question_.namespaced && !question_.one_namespace)
            add("namespace", FieldPath::parse("metadata.namespace"), "Namespace of the object.");
        add("name", FieldPath::parse("metadata.name"), "Name of the object.");
        plan_.key_columns = plan_.columns.size();

        const auto top = schema_.children(FieldPath());
        for (const auto &[name, field] : top)
            if (!is_common(name) && !is_hidden(FieldPath().child(name)))
                add(free_name(name, "object_" + name, name), FieldPath().child(name), field.description);
        // Reserved before the spec's names are given, so that none depends on what status has.
        std::vector<std::string> status_names;
        const auto status = fields_of("status");
        for (const auto &[path, field] : status)
            status_names.push_back(status_name(path));
        for (const auto &[path, field] : fields_of("spec")) {
            const std::string name = path.segments().back().name;
            add(free_name(name, path.segments().size() == 1 ? name : "spec_" + name, path.text()), path,
                field.description);
        }
        for (size_t i = 0; i < status.size(); i++)
            add(status_names[i], status[i].first, status[i].second.description);
        add("labels", FieldPath::parse("metadata.labels"), "Labels, all of them: a JSON object of text.");
        add("annotations", FieldPath::parse("metadata.annotations"),
            "Annotations, all of them: a JSON object of text.");
        return std::move(plan_);
    }

private:
    using Fields = std::vector<std::pair<FieldPath, FieldSchema>>;

    static bool is_common(const std::string &name) {
        static constexpr std::array common{"apiVersion", "kind", "metadata", "spec", "status"};
        return std::ranges::find(common, name) != common.end();
    }

    bool is_hidden(const FieldPath &path) const {
        return !question_.secret_values.empty() && is_write_only_field(path);
    }

    bool is_digest(const FieldPath &path) const {
        return question_.secret_values == digest_values && is_secret_field(path);
    }

    // The first level below spec or status; the whole where it has no declared fields or only one owner.
    Fields fields_of(const std::string &part) const {
        const FieldPath path = FieldPath().child(part);
        Fields fields;
        for (const auto &[name, field] : schema_.children(FieldPath())) {
            if (name != part)
                continue;
            if (!field.atomic || part == "status")
                for (auto &[child, child_field] : schema_.children(path))
                    fields.emplace_back(path.child(child), std::move(child_field));
            if (fields.empty())
                fields.emplace_back(path, field);
        }
        return fields;
    }

    std::string status_name(const FieldPath &path) {
        const std::string &last = path.segments().back().name;
        const std::string name = path.segments().size() == 1 ? last : "status_" + last;
        return free_name(name, name, path.text());
    }

    // `name`, else `second`, else the latter with a hash; never one that is taken.
    std::string free_name(const std::string &name, const std::string &second, const std::string &path) {
        for (const std::string &wanted : {name, second}) {
            const std::string fitting = wanted.size() > longest_name ? hashed(wanted, path) : wanted;
            if (used_.insert(fitting).second)
                return fitting;
        }
        const std::string last = hashed(second, path);
        used_.insert(last);
        return last;
    }

    void add(const std::string &name, const FieldPath &path, const std::string &description) {
        const FieldSchema field = schema_.at(path);
        const Role role = role_of(path, field.read_only);
        std::string comment = shortened(description, comment_bytes);
        comment += (comment.empty() ? "" : " ") + ("(" + path.text());
        comment += is_digest(path)        ? "; keyed digests of its values, written by device reports only)"
                   : role == Role::status ? "; written by device reports only)"
                                          : ")";
        plan_.columns.push_back({name, path.text(), role == Role::key ? "pg_catalog.text" : sql_type(field), comment});
    }

    const PlanQuestion question_;
    const kubernetes::Schema &schema_;
    std::set<std::string> used_;
    TablePlan plan_;
};

} // namespace

TablePlan plan_table(const PlanQuestion &question) {
    return Planner(question).plan();
}

std::string column_map_of(const TablePlan &plan) {
    nlohmann::json map = nlohmann::json::object();
    for (const PlannedColumn &column : plan.columns)
        map[column.name] = column.path;
    return map.dump();
}

std::string shortened(std::string_view description, size_t most) {
    std::string text; // of the first paragraph, on one line
    for (size_t i = 0; i < description.size(); i++) {
        const bool is_space = std::string_view(" \t\r\n").find(description[i]) != std::string_view::npos;
        if (description[i] == '\n' && i + 1 < description.size() && description[i + 1] == '\n' && !text.empty())
            break;
        if (!is_space)
            text += description[i];
        else if (!text.empty() && text.back() != ' ')
            text += ' ';
    }
    while (text.ends_with(' '))
        text.pop_back();
    if (text.size() <= most)
        return text;
    const size_t sentence = text.rfind(". ", most - 1);
    if (sentence != std::string::npos && sentence >= most / 4)
        return text.substr(0, sentence + 1);
    constexpr std::string_view more = "...";
    size_t end = character_start(text, most - more.size());
    if (const size_t space = text.rfind(' ', end); space != std::string::npos && space > end / 2)
        end = space;
    return text.substr(0, end) + std::string(more);
}

} // namespace dbnet::mirror

#include "pg/no_postgres.hpp"
