{% snapshot customers_snapshot %}
{{ config(target_schema='public', unique_key='id', strategy='check', check_cols='all', hard_deletes='invalidate') }}
select * from public.customers
{% endsnapshot %}
