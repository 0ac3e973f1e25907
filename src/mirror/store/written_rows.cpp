// Rows on their way into DBNet's tables (see written_rows.hpp). Mirror worker and backends.
#include "mirror/store/written_rows.hpp"

#include "mirror/values/mapping.hpp"

#include <algorithm>

namespace dbnet::mirror {

// JSON's writer knows how to replace what is not UTF-8; most texts are ASCII and need none of that.
pg::TextColumns::Cell words(const std::string &text) {
    if (text.empty())
        return {};
    const bool is_plain = std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > 0 && c < 0x80; });
    if (is_plain)
        return text;
    return Json::parse(storable(text).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
}

void write_rows(const pg::Statement &statement, const pg::TextColumns &rows) {
    if (!rows.empty())
        pg::execute(statement, std::span<const pg::Argument>(rows.arguments<pg::Argument>()));
}

} // namespace dbnet::mirror
