// Exemplars as jsonb; see the header. Any process that takes telemetry.
#include "telemetry/otlp/point_values.hpp"

namespace dbnet::telemetry {
namespace {

template<class Id> void put_id(Intake &intake, JsonbBuilder &builder, const char *name, const Id &id) {
    if (id == Id())
        return;
    constexpr std::string_view digits = "0123456789abcdef";
    char *const text = intake.batch.arena.allocate(id.size() * 2);
    for (size_t i = 0; i < id.size(); ++i) {
        text[i * 2] = digits[id[i] >> 4];
        text[i * 2 + 1] = digits[id[i] & 0xF];
    }
    const uint32_t member = builder.position();
    builder.string({text, id.size() * 2});
    builder.name(member, name);
}

} // namespace

ExemplarWriter::ExemplarWriter(Intake &intake)
    : intake_(intake), builder_(intake.part), position_(builder_.position()) {
    builder_.open_object();
    attributes_ = builder_.position();
    builder_.open_object();
}

void ExemplarWriter::end() {
    if (builder_.position() == attributes_ + 1) {
        builder_.rewind(attributes_);
    } else {
        builder_.close(attributes_);
        builder_.name(attributes_, "filtered_attributes");
    }
    const auto named = [&](const char *name, auto put) {
        const uint32_t member = builder_.position();
        put();
        builder_.name(member, name);
    };
    if (time_unix_nano != 0)
        named("time_unix_nano", [&] { builder_.unsigned_integer(time_unix_nano); });
    if (which == NumberPoint::Value::floating)
        named("value", [&] { builder_.floating(floating); });
    else if (which == NumberPoint::Value::integer)
        named("value", [&] { builder_.integer(integer); });
    put_id(intake_, builder_, "span_id", span_id);
    put_id(intake_, builder_, "trace_id", trace_id);
    builder_.close(position_);
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
