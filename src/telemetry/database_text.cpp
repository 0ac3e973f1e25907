// Conversion by PostgreSQL's own tables (see database_text.hpp).
#include "telemetry/database_text.hpp"

#include "pg/guard.hpp"

#include <algorithm>

extern "C" {
#include "catalog/pg_conversion.h"
#include "catalog/pg_namespace.h"
#include "mb/pg_wchar.h"
}

namespace dbnet::telemetry {
namespace {

bool is_kept_as_it_comes() noexcept {
    return GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII;
}

// As PostgreSQL converts for clients, looked up once; InvalidOid: there is no such conversion (MULE_INTERNAL).
struct Conversion {
    int from, to;
    Oid function = InvalidOid;
    bool is_known = false;

    void look_up() {
        if (!is_known) // not along the search_path, on which a user's may come first
            function = pg::call([this] { return FindDefaultConversion(PG_CATALOG_NAMESPACE, from, to); });
        is_known = true;
    }

    static size_t room(size_t size) noexcept { return size * MAX_CONVERSION_GROWTH + 1; } // with a zero byte
    // Into `start`, which has room(); returns the end. Never fails for what the text holds.
    char *convert(std::string_view text, char *start) const {
        char *to_place = start;
        const char *const end = start + room(text.size());
        pg::call([&] {
            while (!text.empty()) {
                auto *const source = reinterpret_cast<unsigned char *>(const_cast<char *>(text.data()));
                if (OidIsValid(function)) {
                    const int done = pg_do_encoding_conversion_buf(
                        function, from, to, source, static_cast<int>(text.size()),
                        reinterpret_cast<unsigned char *>(to_place), static_cast<int>(end - to_place), true);
                    to_place += strlen(to_place);
                    text.remove_prefix(static_cast<size_t>(done));
                }
                if (text.empty())
                    break;
                const int length = pg_encoding_mblen(from, text.data());
                text.remove_prefix(std::min(text.size(), static_cast<size_t>(length)));
                *to_place++ = '?';
            }
        });
        return to_place;
    }
};

Conversion &from_utf8() {
    static Conversion conversion{PG_UTF8, GetDatabaseEncoding()};
    return conversion;
}

Conversion &to_utf8() {
    static Conversion conversion{GetDatabaseEncoding(), PG_UTF8};
    return conversion;
}

std::string_view encode(std::string_view text, Arena &arena) {
    char *const start = arena.allocate(Conversion::room(text.size()));
    char *const end = from_utf8().convert(text, start);
    arena.give_back(end);
    return {start, static_cast<size_t>(end - start)};
}

} // namespace

TextEncoder database_text_encoder() {
    if (is_kept_as_it_comes())
        return nullptr;
    from_utf8().look_up();
    return encode;
}

std::string utf8_of_database_text(std::string_view text) {
    if (is_kept_as_it_comes() || is_plain_ascii(text))
        return std::string(text);
    to_utf8().look_up();
    std::string converted(Conversion::room(text.size()), '\0');
    converted.resize(static_cast<size_t>(to_utf8().convert(text, converted.data()) - converted.data()));
    return converted;
}

} // namespace dbnet::telemetry
