"""The chat templates of families that TRL ships none for, written down from what their models are asked with."""

SMOLLM3 = """\
{%- set mode = "/think" if enable_thinking is not defined or enable_thinking else "/no_think" -%}
{{- "<|im_start|>system\\n## Metadata\\n\\nToday Date: " + strftime_now("%d %B %Y") + "\\nReasoning Mode: " + mode -}}
{{- "\\n\\n## Custom Instructions\\n\\n" -}}
{%- if messages[0].role == "system" -%}
    {{- messages[0].content -}}
    {%- set messages = messages[1:] -%}
{%- endif -%}
{{- "\\n\\n<|im_end|>\\n" -}}
{%- for message in messages -%}
    {%- if message.role == "user" -%}
        {{- "<|im_start|>user\\n" + message.content + "<|im_end|>\\n" -}}
    {%- elif message.role == "assistant" -%}
        {% generation %}
        {%- set before = "" if mode == "/think" else "<think>\\n\\n</think>\\n" -%}
        {{- "<|im_start|>assistant\\n" + before + message.content.lstrip("\\n") + "<|im_end|>\\n" -}}
        {% endgeneration %}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- "<|im_start|>assistant\\n" + ("" if mode == "/think" else "<think>\\n\\n</think>\\n") -}}
{%- endif -%}
"""

MISTRAL_7B = """\
{{- bos_token -}}
{%- for message in messages -%}
    {%- if message.role == "user" -%}
        {{- "[INST] " + message.content + "[/INST]" -}}
    {%- elif message.role == "assistant" -%}
        {{- " " + message.content + eos_token -}}
    {%- endif -%}
{%- endfor -%}
"""

MISTRAL_SMALL = """\
{{- bos_token -}}
{%- if messages[0].role == "system" -%}
    {{- "[SYSTEM_PROMPT]" + messages[0].content + "[/SYSTEM_PROMPT]" -}}
    {%- set messages = messages[1:] -%}
{%- endif -%}
{%- for message in messages -%}
    {%- if message.role == "user" -%}
        {{- "[INST]" + message.content + "[/INST]" -}}
    {%- elif message.role == "assistant" -%}
        {{- message.content + eos_token -}}
    {%- endif -%}
{%- endfor -%}
"""
