// dbnet.describe(): what the columns of a mirror are, from what its schema said when it was made. Asks no server. Runs
// in backends.
#include "mirror/definition/field_unit.hpp"
#include "mirror/definition/mirror_store.hpp"
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/row_writer.hpp"
#include "mirror/functions/sql_arguments.hpp"
#include "pg/text_columns.hpp"

namespace dbnet::mirror {
namespace {

// With the caller's rights: row-level security shows who may see which mirror.
const pg::Statement select_described_columns{
    "SELECT attname, path, coalesce(role, 'local'), format_type(atttypid, atttypmod), value_type, format, description,"
    " rules, required"
    " FROM pg_attribute LEFT JOIN dbnet.mirrored_column ON relation = attrelid AND column_name = attname"
    " WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped"
    " AND EXISTS (SELECT FROM dbnet.mirrored_relation AS mirror WHERE mirror.relation = attrelid) ORDER BY attnum"};

RowWriter::Value text_or_null(std::string_view text) {
    return text.empty() ? std::nullopt : RowWriter::Value(std::string(text));
}

// What the type alone does not say.
std::string format_of(std::string_view value_type, std::string_view format) {
    const bool is_own = value_type == "quantity" || value_type == "int_or_string" || value_type == "time";
    return std::string(format.empty() || (is_own && format != "micro-time") ? (is_own ? value_type : "") : format);
}

std::string unit_of_path(std::string_view path) {
    try {
        return path.empty() ? "" : unit_of(kubernetes::FieldPath::parse(path));
    } catch (const kubernetes::Failure &) {
        return {};
    }
}

RowWriter::Value enumeration(const char *rules) {
    const auto read = rules ? ValueRules::parse(rules) : nullptr;
    const std::vector<std::string> values = read ? read->enumeration() : std::vector<std::string>();
    return values.empty() ? std::nullopt : RowWriter::Value(pg::array_text(values));
}

} // namespace

DBNET_FUNCTION(dbnet_describe) {
    RowWriter rows(fcinfo);
    const Oid relation = required_relation(fcinfo, 0, "relation");
    pg::in_spi([&] {
        const pg::Result found = pg::execute(select_described_columns, relation);
        if (found.rows() == 0) {
            as_extension([&] { required_mirror(relation); });
            throw pg::error(ERRCODE_INSUFFICIENT_PRIVILEGE,
                            "permission denied for mirror " + pg::qualified_name(relation))
                .hint("The columns of a mirror are shown to who may SELECT its table.");
        }
        for (size_t i = 0; i < found.rows(); i++) {
            const std::string_view role = found.text(i, 2);
            rows.add({std::string(found.text(i, 0)), text_or_null(found.text(i, 1)), std::string(role),
                      std::string(found.text(i, 3)), text_or_null(format_of(found.text(i, 4), found.text(i, 5))),
                      text_or_null(unit_of_path(found.text(i, 1))), text_or_null(found.text(i, 6)),
                      enumeration(found.at(i, 7)), boolean_text(found.boolean(i, 8)), boolean_text(role != "status")});
        }
    });
    return Datum{0};
}

} // namespace dbnet::mirror
