// Test-only SQL functions that compare the jsonb that DBNet builds itself with PostgreSQL's own. Backends.
#include "pg/guard.hpp"
#include "telemetry/tables/jsonb_bytes.hpp"

#include <charconv>
#include <cmath>
#include <memory>
#include <random>
#include <string>

extern "C" {
#include "utils/builtins.h"
#include "utils/jsonb.h"
}

namespace {

using namespace dbnet;

// A document as text and in a builder at once, the same for the same seed.
class RandomDocument {
public:
    explicit RandomDocument(uint64 seed) : random_(seed) { value(0); }
    const std::string &text() const { return text_; }
    telemetry::Jsonb bytes() { return builder_.finish_value(arena_); }

private:
    uint64 below(uint64 limit) { return random_() % limit; }

    std::string_view keep(const std::string &text) {
        char *const copy = arena_.allocate(text.size());
        return {std::copy(text.begin(), text.end(), copy) - text.size(), text.size()};
    }

    std::string characters() {
        constexpr const char *pieces[] = {"a", "b", "c", "-", "Z", "ß", "€", "😀", " ", "\x7f"};
        std::string made;
        const uint64 length = below(8) == 0 ? below(300) : below(12);
        while (made.size() < length)
            made += pieces[below(std::size(pieces))];
        return made;
    }

    void container(unsigned depth, bool is_object) {
        const uint32 position = builder_.position();
        const uint64 size = below(6) == 0 ? 30 + below(70) : below(6); // across the stride of stored offsets
        is_object ? builder_.open_object() : builder_.open_array();
        text_ += is_object ? '{' : '[';
        for (uint64 i = 0; i < size; ++i) {
            text_ += i > 0 ? "," : "";
            const uint32 member = builder_.position();
            const std::string key = is_object ? characters() : "";
            if (is_object)
                text_ += '"' + key + "\":";
            value(depth + 1);
            if (is_object)
                builder_.name(member, keep(key));
        }
        builder_.close(position);
        text_ += is_object ? '}' : ']';
    }

    void value(unsigned depth) {
        switch (below(depth > 4 ? 7 : 10)) {
        case 0:
            builder_.null();
            text_ += "null";
            break;
        case 1: {
            const bool flag = below(2) == 0;
            builder_.boolean(flag);
            text_ += flag ? "true" : "false";
            break;
        }
        case 2: {
            const int64 number = static_cast<int64>(random_()) >> below(64);
            builder_.integer(number);
            text_ += std::to_string(number);
            break;
        }
        case 3: {
            const uint64 number = random_() >> below(64);
            builder_.unsigned_integer(number);
            text_ += std::to_string(number);
            break;
        }
        case 4: {
            // Below 2^53: of greater ones the shortest text is a matter of taste, and of dbnet_test_jsonb_number.
            constexpr double not_finite[] = {NAN, INFINITY, -INFINITY};
            const double number = below(20) == 0 ? not_finite[below(3)]
                                                 : std::ldexp(static_cast<double>(static_cast<int32>(random_())),
                                                              -static_cast<int>(below(400)));
            builder_.floating(number);
            char digits[400];
            const std::string printed(
                digits, std::to_chars(digits, digits + sizeof digits, number, std::chars_format::scientific).ptr);
            text_ += std::isfinite(number) ? printed
                     : std::isnan(number)  ? "\"NaN\""
                     : number > 0          ? "\"Infinity\""
                                           : "\"-Infinity\"";
            break;
        }
        case 5:
        case 6: {
            const std::string string = characters();
            builder_.string(keep(string));
            text_ += '"' + string + '"';
            break;
        }
        default:
            container(depth, below(2) == 0);
        }
    }

    std::mt19937_64 random_;
    telemetry::Arena arena_;
    telemetry::JsonbBuilder builder_;
    std::string text_;
};

} // namespace

// dbnet_test_jsonb(seed bigint): NULL when the document of this seed has the same bytes as PostgreSQL's, else its text.
DBNET_FUNCTION(dbnet_test_jsonb) {
    RandomDocument document(static_cast<uint64>(PG_GETARG_INT64(0)));
    const telemetry::Jsonb bytes = document.bytes();
    const char *const text = document.text().c_str();
    return pg::call([fcinfo, text, bytes]() -> Datum {
        Jsonb *const theirs = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
        if (VARSIZE(theirs) == telemetry::jsonb_size(bytes) && memcmp(theirs, bytes, VARSIZE(theirs)) == 0)
            PG_RETURN_NULL();
        return PointerGetDatum(cstring_to_text(text));
    });
}

// dbnet_test_jsonb_number(double precision): the number as jsonb.
DBNET_FUNCTION(dbnet_test_jsonb_number) {
    telemetry::Arena arena;
    telemetry::JsonbBuilder builder;
    builder.floating(PG_GETARG_FLOAT8(0));
    const telemetry::Jsonb bytes = builder.finish_value(arena);
    return pg::call([bytes] {
        void *const copy = palloc(telemetry::jsonb_size(bytes));
        memcpy(copy, bytes, telemetry::jsonb_size(bytes));
        return PointerGetDatum(copy);
    });
}
